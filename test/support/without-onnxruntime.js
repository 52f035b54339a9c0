// For `node --import`: a machine on which no ONNX Runtime is installed. Node's own error for a package that is not there.
import { register } from 'node:module';

const hooks = `export async function resolve(specifier, context, next) {
  if (!/^onnxruntime-/.test(specifier)) return next(specifier, context);
  throw Object.assign(new Error("Cannot find package '" + specifier + "'"), { code: 'ERR_MODULE_NOT_FOUND' });
}`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);
