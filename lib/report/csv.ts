// Lines of comma separated values, RFC 4180. Owns no columns.

/** Fields with a comma, a quote or a line's end are quoted; what is absent is empty. */
const field = (v: string | number | undefined): string => {
  const text = String(v ?? '');
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

/** One line, with its end. */
export const csvLine = (fields: readonly (string | number | undefined)[]): string =>
  `${fields.map(field).join(',')}\r\n`;
