// Before a release is packed: links and pictures of README.md lead to the repository at the tag, since a package's page
// has no docs/ beside it, and package.json says where the repository is. A checkout cannot know that; the release
// workflow does, by GITHUB_REPOSITORY and GITHUB_REF_NAME. Changes both files; run again it finds nothing to change.
import fs from 'node:fs';
import path from 'node:path';

const { GITHUB_REPOSITORY: repository, GITHUB_REF_NAME: ref, GITHUB_SERVER_URL = 'https://github.com' } = process.env;
if (!repository || !ref) {
  console.error('absolute-links: expected GITHUB_REPOSITORY (owner/name) and GITHUB_REF_NAME (a tag) to be set');
  process.exit(2);
}
const root = path.resolve(import.meta.dirname, '..');
const rewrite = (file, change) => {
  const whole = path.join(root, file);
  fs.writeFileSync(whole, change(fs.readFileSync(whole, 'utf8')));
};
const missing = [];

rewrite('README.md', (text) =>
  text.replace(/(!?)\[([^\]]*)\]\((?![a-z]+:|#)([^)\s#]+)(#[^)\s]*)?\)/g, (_, picture, words, file, place = '') => {
    if (!fs.existsSync(path.join(root, file))) missing.push(file);
    const kind = picture
      ? 'raw'
      : fs.statSync(path.join(root, file), { throwIfNoEntry: false })?.isDirectory()
        ? 'tree'
        : 'blob';
    return `${picture}[${words}](${GITHUB_SERVER_URL}/${repository}/${kind}/${ref}/${file}${place})`;
  }),
);
rewrite('package.json', (text) => {
  const url = `git+${GITHUB_SERVER_URL}/${repository}.git`;
  return `${JSON.stringify({ ...JSON.parse(text), repository: { type: 'git', url } }, null, 2)}\n`;
});
if (missing.length > 0) {
  console.error(`absolute-links: README.md leads to what is not there: ${missing.join(', ')}`);
  process.exit(1);
}
