// Which tensors of a PyTorch checkpoint are a network's, and their names without what training wrapped around them.
import { shown, type DataError } from '../../errors.js';
import { nameOf } from './pickle.js';
import { StoredTensor } from './pytorch-tensors.js';

/** Where training scripts keep weights; averaged ones are what they evaluate, so they come first. */
const AVERAGED = ['state_dict_ema', 'model_ema', 'ema_state_dict', 'model_ema_state_dict', 'ema'];
const TRAINED = ['state_dict', 'model_state_dict', 'model_state', 'model', 'net', 'network', 'weights', 'params'];
/** Folders in folders: more than any script writes. */
const DEEPEST = 3;
/** What DistributedDataParallel and torch.compile put before every name. */
const WRAPPERS = ['module.', '_orig_mod.'];
/** The one buffer that torch's AveragedModel has beside the network. */
const COUNTER = 'n_averaged';

export interface StateDict {
  readonly tensors: Map<string, StoredTensor>;
  /** what was chosen, as sentences for the user */
  readonly notes: string[];
}

/**
 * @param value what the file holds, unpickled
 * @throws what `bad` makes where there are no tensors by name
 */
export function chooseStateDict(value: unknown, bad: (what: string) => DataError): StateDict {
  const notes: string[] = [];
  let chosen = value;
  for (let depth = 0; depth < DEEPEST; depth++) {
    const key = [...AVERAGED, ...TRAINED].find((k) => isFilled(chosen) && isFilled(chosen.get(k)));
    if (key === undefined) break;
    notes.push(`took ${AVERAGED.includes(key) ? 'its averaged weights' : 'the weights'} under '${key}'`);
    chosen = (chosen as Map<unknown, unknown>).get(key);
  }
  if (chosen instanceof StoredTensor) throw bad('it holds one tensor without a name; expected a state dict');
  if (!(chosen instanceof Map)) throw bad('it holds no dictionary; expected a state dict: tensors by name');
  const entries = [...(chosen as Map<unknown, unknown>)];
  const tensors = entries.filter(
    (e): e is [string, StoredTensor] => typeof e[0] === 'string' && e[1] instanceof StoredTensor,
  );
  const others = entries.filter(([, v]) => !(v instanceof StoredTensor)).map(([k]) => nameOf(k));
  if (tensors.length === 0)
    throw bad(
      `it holds no tensors by name, but ${shown(others.slice(0, 20))}; ` +
        'save the one that is a state dict, in Python: torch.save(checkpoint[...], "weights.pth")',
    );
  if (others.length > 0) notes.push(`left out what are no tensors: ${shown(others.slice(0, 20))}`);
  return { tensors: unwrapped(tensors, notes), notes };
}

const isFilled = (value: unknown): value is Map<unknown, unknown> => value instanceof Map && value.size > 0;

/** Prefixes go where every name has them: a network may have a part of that name. */
function unwrapped(tensors: [string, StoredTensor][], notes: string[]): Map<string, StoredTensor> {
  let named = tensors;
  for (;;) {
    const own = named.filter(([name]) => name !== COUNTER);
    const prefix = WRAPPERS.find((p) => own.length > 0 && own.every(([name]) => name.startsWith(p)));
    if (prefix === undefined) return new Map(named);
    notes.push(`took '${prefix}' off the names`);
    named = own.map(([name, tensor]) => [name.slice(prefix.length), tensor]);
  }
}
