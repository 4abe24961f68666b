/* Honeyguide in the browser: tells the service what a visitor sees and does. No dependencies, no cookies.
 *
 *   <script src="https://shop.example/honeyguide.js" data-key="hg_..." async></script>
 *   honeyguide.consent(true)                       // nothing is kept or sent before, nor under Do Not Track
 *   honeyguide.click("sku-42", { decisionId: page.decision_id, position: 1 })
 *
 * Apache-2.0
 */
(function (window, document) {
  "use strict";

  var ID = "honeyguide.id", CONSENT = "honeyguide.consent";
  var MOST_TOGETHER = 50;      // a body sent while the page goes away holds at most 64 KB
  var MOST_WAITING = 500;
  var WAIT_MS = 2000, LONGEST_WAIT_MS = 60000;

  var script = document.currentScript;
  var settings = {
    url: script ? new URL(script.src).origin : window.location.origin,
    key: script ? script.getAttribute("data-key") : null,
    userId: null
  };
  var waiting = [], seen = {}, timer = null, failures = 0, underway = false, memory = {};

  // ---- what is allowed -------------------------------------------------------------------------------------------

  function refused() {
    var said = window.navigator.doNotTrack || window.doNotTrack;
    return said === "1" || said === "yes" || window.navigator.globalPrivacyControl === true;
  }

  function allowed() {
    return !refused() && read(CONSENT) === "yes";
  }

  // Storage may be full or forbidden: what cannot be kept lasts as long as the page.
  function read(name) {
    try { return window.localStorage.getItem(name) || memory[name] || null; } catch (error) { return memory[name] || null; }
  }

  function write(name, value) {
    memory[name] = value;
    try { window.localStorage.setItem(name, value); } catch (error) { /* kept in memory */ }
  }

  function remove(name) {
    delete memory[name];
    try { window.localStorage.removeItem(name); } catch (error) { /* was in memory only */ }
  }

  function random() {
    var bytes = window.crypto.getRandomValues(new Uint8Array(16)), text = "";
    for (var i = 0; i < bytes.length; i++) text += (bytes[i] + 256).toString(16).slice(1);
    return text;
  }

  function userId() {
    if (!allowed()) return null;
    if (settings.userId) return settings.userId;
    if (!read(ID)) write(ID, "anon-" + random());
    return read(ID);
  }

  // ---- what is told ----------------------------------------------------------------------------------------------

  function tell(kind, said) {
    var user = userId();
    if (user === null) return false;
    var event = { user_id: user, kind: kind, time: new Date().toISOString() };
    for (var name in said) if (said[name] !== undefined && said[name] !== null) event[name] = said[name];
    // on a page each kind counts once per item, as often as it is told
    if (event.decision_id) {
      event.event_id = [event.decision_id, event.item_id, kind].join(":");
      if (seen[event.event_id]) return false;
      seen[event.event_id] = true;
    } else event.event_id = random();
    if (waiting.length >= MOST_WAITING) waiting.shift();
    waiting.push(event);
    if (waiting.length >= MOST_TOGETHER && !failures) flush(); else later();
    return true;
  }

  function about(kind) {
    return function (itemId, page) {
      page = page || {};
      return tell(kind, { item_id: itemId, decision_id: page.decisionId, position: page.position });
    };
  }

  function later() {
    if (timer === null) timer = window.setTimeout(flush, Math.min(WAIT_MS * Math.pow(2, failures), LONGEST_WAIT_MS));
  }

  // ---- how it is sent --------------------------------------------------------------------------------------------

  function flush() {
    if (timer !== null) window.clearTimeout(timer);
    timer = null;
    if (underway || !waiting.length || !allowed()) return;
    var batch = waiting.splice(0, MOST_TOGETHER), headers = { "content-type": "application/json" };
    if (settings.key) headers.authorization = "Bearer " + settings.key;
    underway = true;
    window.fetch(settings.url + "/v1/collect", {
      method: "POST", headers: headers, body: JSON.stringify({ events: batch }), keepalive: true, credentials: "omit"
    }).then(function (answer) { sent(batch, answer.status); }, function () { sent(batch, 0); });
  }

  function sent(batch, status) {
    underway = false;
    // lost on the way, or too many at once: again, with the same ids, so that it counts once
    var again = status === 0 || status === 429 || status >= 500;
    failures = again ? failures + 1 : 0;
    if (again && allowed()) waiting = batch.concat(waiting).slice(-MOST_WAITING);
    if (waiting.length) later();
  }

  // The page goes away: what waits goes along, also beside a request that is underway.
  function leave() {
    var batch = waiting.slice(0, MOST_TOGETHER), body = JSON.stringify({ events: batch });
    if (batch.length && allowed() && !settings.key && window.navigator.sendBeacon) {
      if (window.navigator.sendBeacon(settings.url + "/v1/collect", new Blob([body], { type: "application/json" })))
        waiting.splice(0, batch.length);
      return;
    }
    underway = false;
    flush();
  }

  // ---- what is told by itself ------------------------------------------------------------------------------------

  function marked(element) {
    return {
      item: element.getAttribute("data-honeyguide-item"),
      decisionId: element.getAttribute("data-honeyguide-decision") || undefined,
      position: Number(element.getAttribute("data-honeyguide-position")) || undefined
    };
  }

  function observe(root) {
    root = root || document;
    var watcher = window.IntersectionObserver && new window.IntersectionObserver(function (entries) {
      entries.forEach(function (entry) {
        if (!entry.isIntersecting) return;
        var it = marked(entry.target);
        if (api.impression(it.item, it)) watcher.unobserve(entry.target);
      });
    }, { threshold: 0.5 });
    root.querySelectorAll("[data-honeyguide-item]").forEach(function (element) {
      if (watcher) watcher.observe(element);
    });
    root.addEventListener("click", function (event) {
      var element = event.target.closest && event.target.closest("[data-honeyguide-item]");
      if (element) api.click(marked(element).item, marked(element));
    });
  }

  var api = {
    configure: function (said) {
      for (var name in said) if (name in settings) settings[name] = said[name];
    },
    consent: function (given) {
      if (given) { write(CONSENT, "yes"); return allowed(); }
      waiting = []; seen = {};
      remove(ID); remove(CONSENT);
      return false;
    },
    userId: userId,
    view: about("view"),
    click: about("click"),
    cart: about("cart"),
    dismiss: about("dismiss"),
    impression: about("impression"),
    search: function (query) { return tell("search", { query: query }); },
    observe: observe,
    flush: flush
  };

  document.addEventListener("visibilitychange", function () { if (document.visibilityState === "hidden") leave(); });
  window.addEventListener("pagehide", leave);
  window.honeyguide = api;
})(window, document);
