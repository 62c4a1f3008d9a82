// connection.js -- a WebSocket that comes back: connects again with growing pauses, measures the
// way to the server, and says honestly how it is. It knows nothing of chatting but `ping` and
// `pong`.
//
// States: idle, connecting, open, slow (open, but an answer is overdue), waiting (lost; `until` is
// when it tries again), stopped (not to be opened again by itself; `code` says why).

const PAUSE = 500;            // before the first new try, in ms; doubled each time
const LONGEST_PAUSE = 15000;
const CONNECTING = 10000;     // how long a try may take
const PING = 10000;           // how often the way is measured
const OVERDUE = 2500;         // an answer that takes longer makes the connection slow
const DEAD = 15000;           // and one that takes so long, a lost one
// Close codes after which trying again would be wrong: opened elsewhere, against the rules.
const FINAL = new Set([4001, 1008]);

export class Connection {
  constructor(url, { opened, message, changed }) {
    Object.assign(this, { url, opened, message, changed });
    this.state = "idle";
    this.tries = 0;
    this.latency = null;      // ms to the server and back
    this.asked = 0;           // when the answer that is awaited was asked for
    this.until = 0;
    this.lostAt = 0;
    this.code = 0;
    addEventListener("online", () => this.tryNow());
    addEventListener("offline", () => this.ping());
    document.addEventListener("visibilitychange", () => document.hidden || this.wake());
    setInterval(() => this.tick(), 500);
  }

  start() {
    clearTimeout(this.timer);
    this.drop();
    this.set("connecting");
    const socket = this.socket = new WebSocket(this.url);
    this.timer = setTimeout(() => this.lost(0), CONNECTING);
    socket.onopen = () => {
      clearTimeout(this.timer);
      this.asked = 0;
      this.pinged = Date.now();
      this.set("open");
      this.opened();
      this.ping();
    };
    socket.onmessage = (event) => {
      this.asked = 0;
      this.tries = 0;
      if (this.state === "slow") this.set("open");
      const fields = event.data.split("\n");
      if (fields[0] === "pong") {
        this.latency = Math.max(0, Date.now() - Number(fields[1]));
        this.changed();
      } else {
        this.message(fields.shift(), fields);
      }
    };
    socket.onclose = (event) => this.lost(event.code);
  }

  get usable() {
    return this.state === "open" || this.state === "slow";
  }

  // Sends a message, if there is a connection; `answer`: one is expected.
  send(fields, answer = false) {
    if (!this.usable) return false;
    this.socket.send(fields.join("\n"));
    if (answer && !this.asked) this.asked = Date.now();
    return true;
  }

  ping() {
    this.pinged = Date.now();
    this.send(["ping", this.pinged], true);
  }

  // What time brings: pings, overdue answers.
  tick() {
    if (this.state === "waiting") return this.changed();
    if (!this.usable) return;
    const overdue = this.asked ? Date.now() - this.asked : 0;
    if (overdue > DEAD) return this.lost(0);
    if (overdue > OVERDUE) this.set("slow");
    else if (Date.now() - this.pinged > PING) this.ping();
  }

  lost(code) {
    clearTimeout(this.timer);
    if (this.usable) this.lostAt = Date.now();
    this.drop();
    this.code = code;
    this.latency = null;
    if (FINAL.has(code)) return this.set("stopped");
    const pause = Math.min(LONGEST_PAUSE, PAUSE * 2 ** this.tries++) * (0.75 + Math.random() / 2);
    this.until = Date.now() + pause;
    this.timer = setTimeout(() => this.start(), pause);
    this.set("waiting");
  }

  // Lets go of the socket: whatever it still says is not heard.
  drop() {
    const socket = this.socket;
    if (!socket) return;
    this.socket = null;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  tryNow() {
    if (this.state === "waiting") this.start();
  }

  // A page that was asleep has timers that are late.
  wake() {
    this.asked = 0;
    if (this.state === "waiting") this.start();
    else if (this.usable) this.ping();
  }

  set(state) {
    this.state = state;
    this.changed();
  }
}
