// Keeps what a network makes of pictures in SQLite, and finds the pictures most like one:
//   node examples/similar-images.js run/ photos.db photos/ query.jpg
// Run again, it reads only pictures that are new. Needs: npm install better-sqlite3 sqlite-vec
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { Classifier } from 'mnv2-torch';

const [checkpoint, database, folder, query] = process.argv.slice(2);
if (!query) {
  console.error('usage: node examples/similar-images.js <checkpoint or run folder> <database> <folder> <image>');
  process.exit(2);
}
const { default: Database } = await import('better-sqlite3');
const sqliteVec = await import('sqlite-vec');

const classifier = await Classifier.load(checkpoint);
const wanted = await classifier.embed(query);

const db = new Database(database);
sqliteVec.load(db);
db.exec(`
  create table if not exists pictures (id integer primary key, file text unique);
  create virtual table if not exists vectors using vec0 (embedding float[${wanted.length}] distance_metric=cosine);
`);
const known = db.prepare('select 1 from pictures where file = ?');
const addPicture = db.prepare('insert into pictures (file) values (?)');
const addVector = db.prepare('insert into vectors (rowid, embedding) values (?, ?)');
const add = db.transaction((file, vector) => {
  const { lastInsertRowid } = addPicture.run(file);
  addVector.run(BigInt(lastInsertRowid), vector);
});

function* newPictures() {
  for (const name of readdirSync(folder, { recursive: true })) {
    const file = path.join(folder, name);
    if (/\.(jpe?g|png|webp|gif|tiff?|avif)$/i.test(file) && !known.get(file)) yield file;
  }
}
let added = 0;
for await (const { item, ok, embedding, error } of classifier.streamEmbeddings(newPictures())) {
  if (!ok) console.error(error.message);
  else {
    add(item, embedding);
    added++;
  }
}
console.log(`${added} new pictures`);

const nearest = db.prepare(`
  select file, distance from (select rowid, distance from vectors where embedding match ? and k = 5)
  join pictures on pictures.id = rowid order by distance
`);
for (const { file, distance } of nearest.all(wanted)) console.log(`${(1 - distance).toFixed(3)} ${file}`);

db.close();
classifier.dispose();
