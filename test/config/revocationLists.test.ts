// What is read of revocation lists, and when it is warned of their end.
import { describe, expect, it } from 'vitest';
import {
  type CertificateFacts,
  expiryFindings,
  nextExpiryCheck,
} from '../../src/compile/expiry.js';
import { readRevocationLists } from '../../src/compile/revocationLists.js';
import { Authority } from '../support/certificates.js';

const pem = (der: Buffer) =>
  `-----BEGIN X509 CRL-----\n${der.toString('base64')}\n-----END X509 CRL-----\n`;
const derOf = (text: string) =>
  Buffer.from(/CRL-----([^-]*)-----END/.exec(text)?.[1] ?? '', 'base64');

describe('a revocation list', () => {
  const end = new Date('2031-02-03T04:05:06Z');
  const text = new Authority('Staff of York').revocationList([], end);

  it('says whose it is, since when and until when', () => {
    expect(readRevocationLists(`who: staff\n${text}`)).toEqual([
      { issuer: 'Staff of York', thisUpdate: Date.UTC(2024, 0, 1), nextUpdate: end.getTime() },
    ]);
  });

  it('may end after 2049, which is written in another way', () => {
    const late = new Date('2051-02-03T04:05:06Z');
    const [list] = readRevocationLists(new Authority().revocationList([], late));
    expect(list?.nextUpdate).toBe(late.getTime());
  });

  it('that is cut off or broken anywhere is not read as another one', () => {
    const der = derOf(text);
    const [whole] = readRevocationLists(text);
    for (let length = 0; length < der.length; length += 1) {
      expect(readRevocationLists(pem(der.subarray(0, length)))).toEqual([undefined]);
    }
    for (let at = 0; at < der.length; at += 1) {
      for (const value of [0x00, 0x1e, 0x30, 0x80, 0x84, 0xff]) {
        const broken = Buffer.from(der);
        broken[at] = value;
        const [list] = readRevocationLists(pem(broken));
        if (list !== undefined) expect(Object.keys(list)).toEqual(Object.keys(whole ?? {}));
      }
    }
  });

  it('has a name that is text and nothing else', () => {
    const der = derOf(text);
    der[der.indexOf('Staff') + 5] = 0x1b;
    expect(readRevocationLists(pem(der))[0]?.issuer).toBe('Staff?of York');
  });
});

describe('the warning', () => {
  const day = 24 * 3_600_000;
  const now = Date.UTC(2030, 0, 1);
  const list = (thisUpdate: number, nextUpdate: number) => ({
    ...{ listener: 'public', issuer: 'Staff', file: 'staff.pem', path: [] },
    ...{ thisUpdate: now + thisUpdate, nextUpdate: now + nextUpdate },
  });
  const said = (thisUpdate: number, nextUpdate: number) =>
    expiryFindings({ certificates: [], revocationLists: [list(thisUpdate, nextUpdate)] }, now).map(
      ({ message }) => /(expires|has expired) .*; /.exec(message)?.[0],
    );

  it('comes in the last quarter of the time of a list', () => {
    expect(said(-5.2 * day, 1.8 * day)).toEqual([]);
    expect(said(-5.3 * day, 1.7 * day)).toEqual([
      'expires in 40 hours, at 2030-01-02T16:48:00.000Z; ',
    ]);
    expect(said(-30 * day, -1)).toEqual(['has expired at 2029-12-31T23:59:59.999Z; ']);
  });

  it('comes no earlier than 14 days before its end', () => {
    expect(said(-900 * day, 14.1 * day)).toEqual([]);
    expect(said(-900 * day, 13.9 * day)).toHaveLength(1);
  });

  it('is another one for a certificate that is not in force yet', () => {
    const certificate = {
      ...{ listener: 'public', names: ['a.example'], keyType: 'ec', file: 'a.pem', path: [] },
      ...{ notBefore: now + 1, notAfter: now + 90 * day },
    };
    const expiring = { certificates: [certificate], revocationLists: [] };
    expect(expiryFindings(expiring, now)).toMatchObject([
      {
        code: 'certificate_not_in_force',
        message: expect.stringContaining(
          'the certificate of a.example in a.pem is in force from 2030-01-01T00:00:00.001Z on',
        ),
      },
    ]);
    expect(expiryFindings(expiring, now + 1)).toEqual([]);
  });

  it('is said when its time has come, at the end, and each day between', () => {
    const check = (thisUpdate: number, nextUpdate: number) =>
      nextExpiryCheck({ certificates: [], revocationLists: [list(thisUpdate, nextUpdate)] }, now);
    expect(check(0, 40 * 3_600_000)).toBe(day);
    expect(check(0, 4 * 3_600_000)).toBe(3 * 3_600_000);
    expect(check(-4 * day, 3_600_000)).toBe(3_600_000);
    expect(check(-2 * day, -day)).toBe(day);
    const certificate = { notAfter: now + 14 * day + 5_000 } as CertificateFacts;
    expect(nextExpiryCheck({ certificates: [certificate], revocationLists: [] }, now)).toBe(5_000);
  });
});
