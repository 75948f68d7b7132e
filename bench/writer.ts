/**
 * Inserts documents of 1.2 KB at a steady rate, each with the time at which it was sent, until its parent ends it. Tells
 * the parent how many the server has acknowledged.
 */
import { MongoClient } from 'mongodb';
import { documentOf } from './backlog.ts';

const TICK_MS = 5;
const IN_FLIGHT_MAX = 16;

const [uri, rate] = process.argv.slice(2) as [string, string];
const client = await new MongoClient(uri).connect();
const collection = client.db('bench').collection('events');
const begun = performance.now();
let sent = 0;
let acknowledged = 0;
let inFlight = 0;

setInterval(() => {
  const due = Math.floor(((performance.now() - begun) / 1000) * Number(rate));
  if (due === sent || inFlight >= IN_FLIGHT_MAX) return;
  const sentAt = performance.timeOrigin + performance.now();
  const documents = Array.from({ length: due - sent }, (_, i) => ({ ...documentOf(sent + i, 1_200), sentAt }));
  sent = due;
  inFlight += 1;
  void collection.insertMany(documents, { ordered: false }).then(() => {
    inFlight -= 1;
    acknowledged += documents.length;
  });
}, TICK_MS);
process.on('message', () => process.send!(acknowledged, () => process.exit()));
process.on('disconnect', () => process.exit());
