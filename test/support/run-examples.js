// Runs programs one after the other in this process and tells of each, as a line of JSON, what it printed and how it
// failed. Their own lines are kept from stdout.
import { format } from 'node:util';

const tell = console.log.bind(console);
for (const file of process.argv.slice(2)) {
  const printed = [];
  console.log = (...values) => printed.push(format(...values));
  let error = null;
  try {
    await import(file);
  } catch (cause) {
    error = cause instanceof Error ? cause.stack : String(cause);
  }
  tell(JSON.stringify({ file, printed, error }));
}
