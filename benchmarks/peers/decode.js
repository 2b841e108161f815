/* One peer from npm, given the packets of one workload: what it reads, or how long it takes.

   node decode.js FOLDER PEER read|time <PACKETS

   FOLDER is where the peer is installed, PACKETS are lines of hex. Prints one line of JSON. */
"use strict";

const { readFileSync } = require("node:fs");
const { createRequire } = require("node:module");
const { join } = require("node:path");
const { performance } = require("node:perf_hooks");

const WINDOW_MS = 50;
const STEADY_WINDOWS = 8;
const STEADY_GAIN = 1.01;
const MAX_WINDOWS = 40;
const TIMED_MS = 250;

/* For each: a Buffer to what the library returns, that to its records, one of them to a reading. */
const PEERS = {
  "complete-teltonika-parser": ({ ProtocolParser }) => ({
    decode: (packet) => new ProtocolParser(packet.toString("hex")),
    records: (parsed) => parsed.Content?.AVL_Datas ?? [],
    reading: (record) => ({
      timestamp_ms: record.Timestamp.getTime(),
      priority: record.Priority,
      longitude: record.GPSelement.Longitude,
      latitude: record.GPSelement.Latitude,
      altitude: record.GPSelement.Altitude,
      angle: record.GPSelement.Angle,
      satellites: record.GPSelement.Satellites,
      speed: record.GPSelement.Speed,
      event_io_id: record.IOelement.EventID,
      io: record.IOelement.Elements,
    }),
  }),
  "teltonika-parser": (Parser) => ({
    decode: (packet) => new Parser(packet).getAvl(),
    records: (avl) => avl.records ?? [],
    reading: (record) => ({
      timestamp_ms: record.timestamp.getTime(),
      priority: record.priority,
      longitude: record.gps.longitude,
      latitude: record.gps.latitude,
      altitude: record.gps.altitude,
      angle: record.gps.angle,
      satellites: record.gps.satellites,
      speed: record.gps.speed,
      event_io_id: record.event_id,
      io: Object.fromEntries(record.ioElements.map(({ id, value }) => [id, value])),
    }),
  }),
};

/* Every value as text: JSON's numbers would lose what is wider than 53 bits. */
function read({ decode, records, reading }, packet) {
  return records(decode(packet)).map((record) => {
    const { io, ...fields } = reading(record);
    const values = Object.entries(io).map(([id, value]) => [id, String(value)]);
    return { ...fields, io: Object.fromEntries(values) };
  });
}

/* Decodes the packets, one after another and from the start again, for about so long. */
function makeRun({ decode, records }, packets) {
  let place = 0;
  return (milliseconds) => {
    const start = performance.now();
    let decoded = 0;
    let count = 0;
    let now = start;
    do {
      count += records(decode(packets[place])).length;
      decoded += 1;
      place = (place + 1) % packets.length;
      now = performance.now();
    } while (now - start < milliseconds);
    return { packets: decoded, records: count, seconds: (now - start) / 1000 };
  };
}

/* Warms up until the fastest window so far has stayed the fastest for some time: the JIT is done. */
function time(peer, packets) {
  const run = makeRun(peer, packets);
  let fastest = 0;
  for (let all = 0, since = 0; since < STEADY_WINDOWS && all < MAX_WINDOWS; all += 1, since += 1) {
    const window = run(WINDOW_MS);
    const rate = window.packets / window.seconds;
    if (rate > fastest * STEADY_GAIN) {
      since = -1;
    }
    fastest = Math.max(fastest, rate);
  }
  return run(TIMED_MS);
}

function answer(folder, name, what) {
  const lines = readFileSync(0, "latin1").trim().split("\n");
  const packets = lines.map((line) => Buffer.from(line, "hex"));
  try {
    const peer = PEERS[name](createRequire(join(folder, "package.json"))(name));
    return what === "read" ? { readings: read(peer, packets[0]) } : { timed: time(peer, packets) };
  } catch (error) {
    return { error: error.message };
  }
}

const [folder, name, what] = process.argv.slice(2);
console.log(JSON.stringify(answer(folder, name, what)));
