// Published weights as torch.save writes them: the tensors of the .safetensors beside them, bit for bit.
import { readWeightFile } from 'mnv2-torch';
import { requireData } from '../support/data.ts';

requireData('PyTorch files of a backbone', (file) => {
  const weights = (ending: string): string => file('weights', `mobilenet_v2_tfslim${ending}`);
  test.each(['.pth', '_legacy.pth'])('%s', async (ending) => {
    const expected = await readWeightFile(weights('.safetensors'));
    const { format, tensors, notes } = await readWeightFile(weights(ending));
    expect([format, tensors.size, notes]).toEqual(['pytorch', 312, []]);
    expect([...tensors.keys()].sort()).toEqual([...expected.tensors.keys()].sort());
    const bits = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Buffer =>
      Buffer.from(buffer, byteOffset, byteLength);
    for (const [name, { data, dtype, shape }] of expected.tensors) {
      const found = tensors.get(name)!;
      expect([name, found.dtype, found.shape]).toEqual([name, dtype, shape]);
      expect([name, bits(found.data).equals(bits(data))]).toEqual([name, true]);
    }
  });
});
