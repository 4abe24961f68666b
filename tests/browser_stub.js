// Runs honeyguide.js in a browser of stubs: argv is the script's path, stdin is what the page does with `honeyguide`.
"use strict";
const fs = require("fs"), vm = require("vm");
const requests = [], beacons = [], timers = new Map(), listeners = {}, watched = [], kept = new Map();
let statuses = [], clock = 0, numbers = 0, watcher = null;
const listen = (name, act) => (listeners[name] = listeners[name] || []).push(act);
const element = (item, decision, position) => ({
  attributes: { "data-honeyguide-item": item, "data-honeyguide-decision": decision, "data-honeyguide-position": position },
  getAttribute(name) { return this.attributes[name] === undefined ? null : this.attributes[name]; },
  closest() { return this; }
});
const document = {
  currentScript: { src: "https://hg.example/honeyguide.js", getAttribute: () => world.key },
  visibilityState: "visible", elements: [],
  addEventListener: listen, querySelectorAll() { return this.elements; }
};
const window = {
  location: { origin: "https://shop.example" }, navigator: { sendBeacon(url, blob) { beacons.push({ url, type: blob.type, text: blob.text() }); return true; } },
  crypto: { getRandomValues: bytes => bytes.fill(++numbers) },
  localStorage: {
    getItem: name => { if (world.noStorage) throw new Error("forbidden"); return kept.has(name) ? kept.get(name) : null; },
    setItem: (name, value) => { if (world.noStorage) throw new Error("full"); kept.set(name, value); },
    removeItem: name => { if (world.noStorage) throw new Error("forbidden"); kept.delete(name); }
  },
  setTimeout: (act, wait) => { timers.set(++clock, { act, wait }); return clock; },
  clearTimeout: id => timers.delete(id),
  fetch: async (url, asked) => {
    requests.push({ url, ...asked, body: JSON.parse(asked.body) });
    const status = statuses.length ? statuses.shift() : 200;
    if (status === 0) throw new Error("no network");
    return { status };
  },
  addEventListener: listen,
  IntersectionObserver: class { constructor(act) { watcher = act; } observe(one) { watched.push(one); } unobserve(one) { watched.splice(watched.indexOf(one), 1); } }
};
const world = {
  key: "hg_key", noStorage: false, requests, beacons, kept, document, window, watched, element,
  answer(...next) { statuses = next; },
  load() { vm.runInContext(source, context); world.honeyguide = window.honeyguide; },
  fire(name, event) { (listeners[name] || []).forEach(act => act(event || {})); },
  see(entries) { watcher(entries); },
  waits: () => [...timers.values()].map(one => one.wait),
  async later() { const due = [...timers.values()]; timers.clear(); due.forEach(one => one.act()); for (let i = 0; i < 5; i++) await null; },
  settle: async () => { for (let i = 0; i < 5; i++) await null; }
};
const source = fs.readFileSync(process.argv[2], "utf8");
const context = vm.createContext({ window, document, Blob, URL });
const act = new (Object.getPrototypeOf(async function () {}).constructor)("world", fs.readFileSync(0, "utf8"));
act(world).then(async told => {
  for (const beacon of beacons) beacon.text = await beacon.text;
  process.stdout.write(JSON.stringify({ told, requests, beacons, kept: Object.fromEntries(kept) }));
}).catch(error => { process.stderr.write(error.stack); process.exit(1); });
