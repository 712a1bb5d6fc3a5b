// npm passes on to its script the SIGINT that the terminal has sent to both already. One Ctrl-C must
// not look like two, since the second one ends a gateway without draining.

const sameKeyMs = 300;

/** Call before anything listens for signals. */
export function takeCtrlCOnce() {
  const emit = process.emit;
  let last = Number.NEGATIVE_INFINITY;
  process.emit = function emitOnce(name, ...args) {
    if (name === 'SIGINT') {
      const previous = last;
      last = performance.now();
      if (last - previous < sameKeyMs) return true;
    }
    return emit.call(this, name, ...args);
  };
}
