// The ends of certificates and revocation lists: what is to be said of those that are near, and when to look again.
import type { ConfigPath } from '../config/index.js';
import type { Finding } from '../config/source.js';

/** Of one certificate of a listener, for logs and metrics. */
export interface CertificateFacts {
  listener: string;
  /** What it is made out to. */
  names: string[];
  /** `rsa`, `ec`, `ed25519` … */
  keyType: string;
  /** As people know the file. */
  file: string;
  path: ConfigPath;
  /** Milliseconds since the epoch, as the next. */
  notBefore: number;
  notAfter: number;
}

/** Of one revocation list that has an end, for logs and metrics. */
export interface RevocationListFacts {
  listener: string;
  /** Whose certificates it is about. */
  issuer: string;
  /** As people know the file. */
  file: string;
  path: ConfigPath;
  /** Milliseconds since the epoch. */
  thisUpdate: number;
  /** Milliseconds since the epoch. */
  nextUpdate: number;
}

export interface Expiring {
  certificates: readonly CertificateFacts[];
  revocationLists: readonly RevocationListFacts[];
}

const hour = 3_600_000;
const day = 24 * hour;

/** Time before the end of a certificate from which on it is warned of. */
const warningMillis = 14 * day;

/** How often it is said again. */
const repeatMillis = day;

/** What is to be said of those that end soon; nothing of the others. */
export function expiryFindings(
  { certificates, revocationLists }: Expiring,
  now = Date.now(),
): Finding[] {
  return [
    ...certificates.flatMap((facts): Finding[] => {
      const { names, file, path, notBefore, notAfter } = facts;
      const whose = names[0] === undefined ? 'the certificate' : `the certificate of ${names[0]}`;
      const warning = { severity: 'warning', path } as const;
      if (now < notBefore) {
        const since = new Date(notBefore).toISOString();
        const message = `${whose} in ${file} is in force from ${since} on, and clients refuse it before: is it the right file, and this machine's clock right?`;
        return [{ ...warning, code: 'certificate_not_in_force', message }];
      }
      if (now < warnedFrom(facts)) return [];
      const message = `${whose} in ${file} ${endOf(notAfter, now)}`;
      return [{ ...warning, code: 'certificate_expires', message }];
    }),
    ...revocationLists.flatMap((facts): Finding[] => {
      if (now < listWarnedFrom(facts)) return [];
      const { issuer, file, path, nextUpdate } = facts;
      const effect = 'without one in force no client certificate of that authority is accepted';
      const message = `the revocation list of ${issuer} in ${file} ${endOf(nextUpdate, now)}; ${effect}`;
      return [{ code: 'revocation_list_expires', severity: 'warning', path, message }];
    }),
  ];
}

/** Milliseconds until there is something to say that was not said at `now`, or again. */
export function nextExpiryCheck(
  { certificates, revocationLists }: Expiring,
  now = Date.now(),
): number {
  const times = [
    ...certificates.flatMap((facts) => [warnedFrom(facts), facts.notAfter]),
    ...revocationLists.flatMap((facts) => [listWarnedFrom(facts), facts.nextUpdate]),
  ];
  return times.reduce(
    (soonest, time) => (time > now ? Math.min(soonest, time - now) : soonest),
    repeatMillis,
  );
}

function warnedFrom({ notAfter }: CertificateFacts): number {
  return notAfter - warningMillis;
}

/** Lists are made anew every few days or hours: only one that is late for its own span is worth a word. */
function listWarnedFrom({ thisUpdate, nextUpdate }: RevocationListFacts): number {
  return nextUpdate - Math.min(warningMillis, (nextUpdate - thisUpdate) / 4);
}

function endOf(time: number, now: number): string {
  const left = time - now;
  const end = new Date(time).toISOString();
  if (left <= 0) return `has expired at ${end}`;
  const [unit, name] = left >= 2 * day ? [day, 'days'] : [hour, 'hours'];
  return `expires in ${Math.floor(left / unit)} ${name}, at ${end}`;
}
