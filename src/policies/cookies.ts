// Taking one cookie out of a request's Cookie fields (RFC 6265, 4.2).

/** Without one pair of quotes; the first of that name. */
export function cookieIn(lines: readonly string[], wanted: string): string | undefined {
  for (const pair of pairsOf(lines)) {
    const cut = pair.indexOf('=');
    if (cut >= 0 && pair.slice(0, cut).trimEnd() === wanted) {
      return pair
        .slice(cut + 1)
        .trimStart()
        .replace(/^"(.*)"$/, '$1');
    }
  }
  return undefined;
}

/** What is left, as one line; empty when nothing is. */
export function withoutCookies(lines: readonly string[], unwanted: ReadonlySet<string>): string {
  return pairsOf(lines)
    .filter((pair) => {
      const cut = pair.indexOf('=');
      return !unwanted.has((cut < 0 ? pair : pair.slice(0, cut)).trimEnd());
    })
    .join('; ');
}

function pairsOf(lines: readonly string[]): string[] {
  return lines.flatMap((line) => line.split(';')).flatMap((pair) => pair.trim() || []);
}
