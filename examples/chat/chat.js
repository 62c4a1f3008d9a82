// chat.js -- the page: what is shown, and what people do. Everything that people have written gets
// into the page as text (textContent), never as HTML. The messages are described in rooms.tcl.

import { Connection } from "./connection.js";

const $ = (id) => document.getElementById(id);
const TYPING_EVERY = 3000;    // ms between two words about typing
const TYPING_LASTS = 4500;    // ms for which such a word counts
const KEPT = 500;             // entries of a room that the page keeps
const TOGETHER = 300000;      // ms within which messages of one person stand together

// What survives a reload of this tab. Storage may be forbidden; then nothing does.
function stored(key, value) {
  try {
    if (value === undefined) return JSON.parse(sessionStorage.getItem("chat " + key));
    sessionStorage.setItem("chat " + key, JSON.stringify(value));
  } catch { /* as if nothing was stored */ }
  return null;
}

function randomWord() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const me = {
  token: stored("token") ?? randomWord(),
  name: stored("name") ?? "",
  room: stored("room") ?? "",
};
stored("token", me.token);

const rooms = new Map();      // name -> {entries, last: number of the last message}
let list = [];                // rooms as the server lists them: [name, people]
let people = new Map();       // name -> here, away
let queue = stored("queue") ?? [];    // not confirmed yet: {id, room, text, time, state, reason}
let epoch = "";
let restarted = false;        // the server, between the last connection and this one
let joined = false;           // the server has told everything about the room
let maxText = 2000;
let unseen = 0;
const typists = new Map();    // name -> until when
for (const item of queue) if (item.state !== "failed") item.state = "waiting";

const connection = new Connection(
  location.protocol.replace("http", "ws") + "//" + location.host + "/chat",
  { opened: hello, message: heard, changed: showLink },
);

function roomNamed(name) {
  if (!rooms.has(name)) rooms.set(name, { entries: [], last: 0 });
  return rooms.get(name);
}

// ---- What the server says

function hello() {
  joined = false;
  for (const item of queue) if (item.state === "sent") item.state = "waiting";
  connection.send(["hello", me.token, me.name, me.room, epoch, roomNamed(me.room).last], true);
}

const hears = {
  welcome(nowEpoch, name, note, maxName, maxRoom, textLimit) {
    // A server that was started anew counts from 1, and remembers nothing.
    restarted = epoch !== "" && epoch !== nowEpoch;
    if (restarted) for (const known of rooms.values()) known.last = 0;
    epoch = nowEpoch;
    maxText = Number(textLimit);
    $("name").maxLength = Number(maxName);
    for (const id of ["room", "first-room"]) $(id).maxLength = Number(maxRoom);
    me.name = name;
    stored("name", name);
    if (note === "slow") {
      add(me.room, { note: "The server had dropped this connection: messages came faster than this device took them.", warn: true });
      connection.send(["noted"]);
    }
    show("chat");
  },
  rooms(...fields) {
    list = [];
    for (let i = 0; i + 1 < fields.length; i += 2) list.push([fields[i], Number(fields[i + 1])]);
    showRooms();
  },
  past(room, count, gap) {
    me.room = room;
    stored("room", room);
    people = new Map();
    typists.clear();
    const known = roomNamed(room);
    if (connection.lostAt && known.entries.length) {
      const seconds = Math.max(1, Math.round((Date.now() - connection.lostAt) / 1000));
      const missed = restarted ? "The server was started anew: what was said meanwhile may be lost."
        : count === "0" ? "Nothing was missed."
        : count === "1" ? "One message was missed; here it is." : `${count} messages were missed; here they are.`;
      add(room, { note: `Connected again after ${seconds} s. ${missed}` });
    }
    connection.lostAt = 0;
    if (gap === "1") add(room, { note: "Some older messages are not kept any more.", warn: true });
    showRoom();
  },
  message(room, seq, time, id, name, ...lines) {
    const known = roomNamed(room);
    if (Number(seq) <= known.last) return;
    known.last = Number(seq);
    queue = queue.filter((item) => item.id !== id);
    typists.delete(name);
    add(room, { id, name, time: Number(time), text: lines.join("\n"), mine: name === me.name });
    showPending();
  },
  joined(room, ...fields) {
    for (let i = 0; i + 1 < fields.length; i += 2) people.set(fields[i], fields[i + 1]);
    joined = true;
    showPeople();
    showLink();
    pump();
  },
  came(room, name) {
    people.set(name, "here");
    if (joined && name !== me.name) add(room, { note: `${name} came in` });
    showPeople();
  },
  left(room, name) {
    people.delete(name);
    typists.delete(name);
    if (room === me.room && name !== me.name) add(room, { note: `${name} has left` });
    showPeople();
  },
  away(room, name) {
    people.set(name, "away");
    typists.delete(name);
    showPeople();
  },
  back(room, name) {
    people.set(name, "here");
    showPeople();
  },
  renamed(room, before, after) {
    people = new Map([...people].map(([name, state]) => [name === before ? after : name, state]));
    if (before === me.name) {
      me.name = after;
      stored("name", after);
    }
    add(room, { note: `${before} is now called ${after}` });
    showPeople();
  },
  typing(room, name) {
    typists.set(name, Date.now() + TYPING_LASTS);
    setTimeout(showTyping, TYPING_LASTS + 50);
    showTyping();
  },
  ack(id, seq, time) {
    const item = queue.find((other) => other.id === id);
    queue = queue.filter((other) => other.id !== id);
    if (item && Number(seq) > roomNamed(item.room).last) {
      rooms.get(item.room).last = Number(seq);
      add(item.room, { id, name: me.name, time: Number(time), text: item.text, mine: true });
    }
    showPending();
    pump();
  },
  refused(id, wait, reason) {
    const item = queue.find((other) => other.id === id);
    if (!item) return;
    item.reason = reason;
    item.state = Number(wait) > 0 ? "held" : "failed";
    if (item.state === "held") {
      setTimeout(() => {
        item.state = "waiting";
        pump();
      }, Number(wait));
    }
    showPending();
    pump();
  },
  sorry(what, reason) {
    if (what === "room") {
      // Refused was the way to another room: this one is still ours.
      joined = people.size > 0;
      $("room-error").textContent = reason;
      pump();
      if (document.body.dataset.view === "chat" && narrow.matches) openSide(true);
    } else {
      $("enter-error").textContent = reason;
      if (what === "name") show("welcome");
    }
  },
};

function heard(word, fields) {
  if (Object.hasOwn(hears, word)) hears[word](...fields);
}

// ---- Sending: one message at a time, so that their order stays; the next one when it is confirmed

function pump() {
  stored("queue", queue);
  if (!joined || !connection.usable) return;
  const here = queue.filter((item) => item.room === me.room && item.state !== "failed");
  if (!here.length || here[0].state !== "waiting") return;
  const item = here[0];
  if (connection.send(["say", item.id, item.room, item.text], true)) item.state = "sent";
  showPending();
}

function say(text) {
  queue.push({ id: randomWord(), room: me.room, text, time: Date.now(), state: "waiting", reason: "" });
  showPending();
  toEnd();
  pump();
}

// ---- Showing

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

const clock = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit" });
const calendar = new Intl.DateTimeFormat([], { weekday: "long", day: "numeric", month: "long" });

// A round picture of a person: the first letter, in a colour that goes with the name.
function dress(face, name) {
  let hash = 0;
  for (const character of name) hash = (hash * 131 + character.codePointAt(0)) % 99991;
  face.textContent = [...name][0]?.toUpperCase() ?? "";
  face.classList.remove(...[...face.classList].filter((word) => word.startsWith("hue")));
  face.classList.add("hue" + (hash % 8));
  return face;
}

function faceOf(name) {
  const face = dress(element("span", "face"), name);
  face.setAttribute("aria-hidden", "true");
  return face;
}

// Text, in which addresses of the web can be followed.
function write(into, text) {
  let at = 0;
  for (const found of text.matchAll(/https?:\/\/[^\s<>"']+[^\s<>"'.,;:!?)\]]/g)) {
    into.append(text.slice(at, found.index));
    const link = element("a", "", found[0]);
    link.href = found[0];
    link.target = "_blank";
    link.rel = "noopener noreferrer";
    into.append(link);
    at = found.index + found[0].length;
  }
  into.append(text.slice(at));
  return into;
}

function messageElement(entry, before) {
  const item = element("li", "message" + (entry.mine ? " mine" : ""));
  item.dataset.id = entry.id;
  const together = before?.name === entry.name && entry.time - before.time < TOGETHER
    && sameDay(before.time, entry.time);
  if (together) item.classList.add("more");
  if (!entry.mine) item.append(faceOf(entry.name));
  const body = element("div", "body");
  if (!entry.mine || !together) body.append(element("span", "author", entry.mine ? "You" : entry.name));
  const bubble = write(element("p", "bubble"), entry.text);
  bubble.dir = "auto";
  body.append(bubble);
  const about = element("span", "about");
  const time = element("time", "", clock.format(entry.time));
  time.dateTime = new Date(entry.time).toISOString();
  about.append(time);
  if (entry.mine) {
    about.append(element("span", "tick", " ✓"), element("span", "unseen", " confirmed by the server"));
  }
  body.append(about);
  item.append(body);
  return item;
}

function sameDay(a, b) {
  return new Date(a).toDateString() === new Date(b).toDateString();
}

function entryElements(entry, before) {
  if (entry.note) return [element("li", "note" + (entry.warn ? " warn" : ""), entry.note)];
  const made = [];
  if (!sameDay(before?.time ?? Date.now(), entry.time)) made.push(element("li", "day", calendar.format(entry.time)));
  made.push(messageElement(entry, before));
  return made;
}

function add(room, entry) {
  const { entries } = roomNamed(room);
  const before = entries.at(-1);
  entry.time ??= Date.now();
  entries.push(entry);
  if (entries.length > KEPT) entries.shift();
  if (room !== me.room) return;
  const stay = atEnd() || entry.mine;
  $("log").append(...entryElements(entry, before));
  while ($("log").childElementCount > KEPT + 100) $("log").firstElementChild.remove();
  if (stay) {
    toEnd();
  } else if (!entry.note) {
    unseen++;
    showNewer();
  }
  showTyping();
}

function showRoom() {
  $("title").textContent = me.room;
  document.title = `${me.room} · Chat`;
  const elements = [];
  let before;
  for (const entry of roomNamed(me.room).entries) {
    elements.push(...entryElements(entry, before));
    before = entry;
  }
  $("log").replaceChildren(...elements);
  $("room-error").textContent = "";
  showRooms();
  showPeople();
  showPending();
  toEnd();
}

function showPending() {
  const stay = atEnd();
  stored("queue", queue);
  const words = { waiting: "Waiting to be sent", sent: "Sending …", held: "Waiting", failed: "Not sent" };
  $("pending").replaceChildren(...queue.filter((item) => item.room === me.room).map((item) => {
    const made = element("li", "message mine pending " + item.state);
    made.dataset.id = item.id;
    const body = element("div", "body");
    const bubble = write(element("p", "bubble"), item.text);
    bubble.dir = "auto";
    const about = element("span", "about");
    const state = words[item.state] + (item.reason && item.state !== "sent" ? `: ${item.reason}` : "");
    about.append(element("span", "spin"), element("span", "state", state));
    if (item.state === "failed") {
      const again = element("button", "plain", "Edit");
      again.addEventListener("click", () => edit(item));
      const away = element("button", "plain", "Remove");
      away.addEventListener("click", () => remove(item));
      about.append(again, away);
    }
    body.append(bubble, about);
    made.append(body);
    return made;
  }));
  if (stay) toEnd();
  showLink();
}

function remove(item) {
  queue = queue.filter((other) => other !== item);
  showPending();
  $("text").focus();
}

// Takes a message that was refused back into the field, in front of what is there.
function edit(item) {
  remove(item);
  $("text").value = item.text + ($("text").value ? "\n" + $("text").value : "");
  fitText();
}

function showRooms() {
  const known = list.some(([name]) => name === me.room) || !me.room ? list : [...list, [me.room, 1]];
  $("rooms").replaceChildren(...known.map(([name, count]) => {
    const item = element("li");
    const button = element("button", "room");
    button.append(element("span", "hash", "#"), element("span", "label", name), element("span", "number", String(count)));
    button.lastChild.append(element("span", "unseen", count === 1 ? " person" : " people"));
    button.firstChild.setAttribute("aria-hidden", "true");
    if (name === me.room) button.setAttribute("aria-current", "page");
    const waiting = queue.filter((entry) => entry.room === name).length;
    if (waiting && name !== me.room) button.append(element("span", "waits", `${waiting} not sent`));
    button.addEventListener("click", () => goTo(name));
    item.append(button);
    return item;
  }));
}

function showPeople() {
  const names = [...people.keys()].sort((a, b) => (b === me.name) - (a === me.name) || a.localeCompare(b));
  $("people").replaceChildren(...names.map((name) => {
    const state = people.get(name);
    const item = element("li", "person " + state);
    item.append(faceOf(name), element("span", "label", name));
    if (name === me.name) item.append(element("span", "quiet", "you"));
    if (state === "away") item.append(element("span", "quiet", "connection lost"));
    return item;
  }));
  const count = names.length;
  $("count").textContent = !joined || !connection.usable ? "Not connected" : count === 1 ? "Only you are here" : `${count} people here`;
  $("my-name").textContent = me.name;
  dress($("my-face"), me.name);
  showTyping();
}

function showTyping() {
  const names = [...typists].filter(([, until]) => until > Date.now()).map(([name]) => name);
  $("typing").textContent = names.length === 0 ? ""
    : names.length === 1 ? `${names[0]} is writing …`
      : names.length === 2 ? `${names[0]} and ${names[1]} are writing …` : "Several people are writing …";
}

// How the connection is, in words; the state goes into the page for the style sheet.
function showLink() {
  const { state, latency, until, code } = connection;
  document.body.dataset.link = state;
  const here = joined && connection.usable ? "yes" : "no";
  if (document.body.dataset.joined !== here) {
    document.body.dataset.joined = here;
    showPeople();
  }
  const seconds = Math.max(0, Math.ceil((until - Date.now()) / 1000));
  const short = {
    idle: "Not connected", connecting: "Connecting …", waiting: "Offline", stopped: "Disconnected",
    open: "Connected", slow: "Slow network",
  };
  set($("link-text"), short[state]);
  set($("latency"), state === "open" && latency !== null ? `${latency} ms` : "");
  const pending = queue.filter((item) => item.state !== "failed").length;
  const kept = pending === 0 ? "" : pending === 1 ? " One message waits to be sent." : ` ${pending} messages wait to be sent.`;
  let title = "";
  let text = "";
  if (state === "slow") {
    title = "The network is slow.";
    text = "The server has not answered for some seconds." + kept;
  } else if (state === "waiting" || (state === "connecting" && connection.tries > 0)) {
    title = navigator.onLine === false ? "This device is offline." : "The connection is lost.";
    text = (state === "connecting" ? "Trying to connect …" : `Next try in ${seconds} s.`) + kept;
  } else if (state === "stopped") {
    title = code === 4001 ? "This chat is open in another tab." : "The server has closed the connection.";
    text = (code === 4001 ? "It can be continued here." : "Too much was sent, or something it does not understand.") + kept;
  }
  $("banner").hidden = !title;
  set($("enter-link"), state === "waiting" ? "The server cannot be reached. This page keeps trying." : "");
  set($("banner-title"), title);
  set($("banner-text"), text);
  $("try-now").hidden = state === "slow" || state === "connecting";
  set($("try-now"), state === "stopped" ? "Connect here" : "Try now");
}

// Written only when it changes: what is announced is announced once.
function set(where, text) {
  if (where.textContent !== text) where.textContent = text;
}

function show(view) {
  document.body.dataset.view = view;
  const chatting = view === "chat";
  const changed = $("app").hidden === chatting;
  $("app").hidden = !chatting;
  $("welcome").hidden = chatting;
  if (!changed) return;
  if (chatting) {
    if (!narrow.matches) $("text").focus();
  } else {
    $("name").value = me.name;
    $("first-room").value = me.room || "Lobby";
    $("enter-button").textContent = joined ? "Save" : "Join the chat";
    $("name").focus();
    $("name").select();
  }
}

// ---- Scrolling

function atEnd() {
  const box = $("scroll");
  return box.scrollHeight - box.scrollTop - box.clientHeight < 80;
}

function toEnd() {
  unseen = 0;
  showNewer();
  $("scroll").scrollTop = $("scroll").scrollHeight;
}

function showNewer() {
  $("newer").hidden = unseen === 0;
}

$("scroll").addEventListener("scroll", () => {
  if (atEnd() && unseen) {
    unseen = 0;
    showNewer();
  }
});
$("newer").addEventListener("click", () => {
  toEnd();
  $("text").focus();
});
// When the field grows, or a keyboard takes room, the end stays in sight.
let wasAtEnd = true;
$("scroll").addEventListener("scroll", () => { wasAtEnd = atEnd(); });
new ResizeObserver(() => { if (wasAtEnd) toEnd(); }).observe($("scroll"));

// ---- What people do

$("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  $("enter-error").textContent = "";
  const name = $("name").value.trim();
  const room = $("first-room").value.trim();
  if (!name || !room) return;
  if (connection.usable && joined) {
    connection.send(["name", name]);
    show("chat");
    if (room !== me.room) goTo(room);
    return;
  }
  me.name = name;
  me.room = room;
  if (connection.usable) hello();
  else connection.start();
});

$("rename").addEventListener("click", () => {
  openSide(false);
  show("welcome");
});

function goTo(room) {
  openSide(false);
  if (room === me.room) return;
  if (connection.usable) {
    joined = false;
    connection.send(["join", room, rooms.get(room)?.last ?? 0], true);
  } else {
    // The wish counts when the connection is back.
    me.room = room;
    stored("room", room);
    people = new Map();
    showRoom();
  }
  $("text").focus();
}

$("new-room").addEventListener("submit", (event) => {
  event.preventDefault();
  const room = $("room").value.trim();
  $("room-error").textContent = "";
  if (!room) return;
  $("room").value = "";
  goTo(room);
});

function fitText() {
  const text = $("text");
  text.style.height = "auto";
  text.style.height = Math.min(text.scrollHeight + 2, 160) + "px";
  const left = maxText - text.value.length;
  $("left").textContent = left < 0 ? `${-left} characters too long` : left <= 200 ? `${left} characters left` : "";
  $("left").classList.toggle("error", left < 0);
  $("send").disabled = left < 0;
}

let lastTyping = 0;
$("text").addEventListener("input", () => {
  fitText();
  if (joined && $("text").value && Date.now() - lastTyping > TYPING_EVERY) {
    lastTyping = Date.now();
    connection.send(["typing"]);
  }
});

$("text").addEventListener("keydown", (event) => {
  // Enter that ends a word of an input method is not the end of a message.
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("write").requestSubmit();
  }
});

$("write").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.replace(/\s+$/, "");
  if (!text.trim() || text.length > maxText) return;
  $("text").value = "";
  lastTyping = 0;
  fitText();
  say(text);
  $("text").focus();
});

$("try-now").addEventListener("click", () => {
  connection.start();
  $("text").focus();
});

// ---- The drawer of a narrow window

const narrow = matchMedia("(max-width: 759px)");

function openSide(open) {
  document.body.classList.toggle("side-open", open && narrow.matches);
  $("side").inert = narrow.matches && !open;
  $("main").inert = narrow.matches && open;
  $("open-side").setAttribute("aria-expanded", String(open));
  if (open && narrow.matches) $("close-side").focus();
}

narrow.addEventListener("change", () => openSide(false));
$("open-side").addEventListener("click", () => openSide(true));
for (const id of ["close-side", "shade"]) {
  $(id).addEventListener("click", () => {
    openSide(false);
    $("open-side").focus();
  });
}
addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  if (document.body.classList.contains("side-open")) {
    openSide(false);
    $("open-side").focus();
  } else if (document.body.dataset.view === "welcome" && joined) {
    show("chat");
  }
});

// ---- Colours: as the system, light, dark

const themes = { "": "Colours: as the system", light: "Colours: light", dark: "Colours: dark" };

function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  $("theme").setAttribute("aria-label", themes[theme]);
  $("theme").title = themes[theme];
  try {
    localStorage.setItem("chat theme", theme);
  } catch { /* not remembered then */ }
}

let theme = "";
try {
  theme = localStorage.getItem("chat theme") ?? "";
} catch { /* as the system */ }
setTheme(theme in themes ? theme : "");
$("theme").addEventListener("click", () => {
  const names = Object.keys(themes);
  setTheme(names[(names.indexOf(document.documentElement.dataset.theme ?? "") + 1) % names.length]);
});

// ---- Beginning

openSide(false);
fitText();
$("name").value = me.name;
$("first-room").value = me.room || "Lobby";
if (me.name && me.room) connection.start();
else $("name").focus();
showLink();
