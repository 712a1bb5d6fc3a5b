// Listeners: what they bind, and the header that carries the request id.
import { formatAddress } from '../address.js';
import type { ConfigPath } from '../problem.js';
import type { ListenerSettings } from '../schema/index.js';
import { formatSize } from '../units.js';
import { quote, valueAt } from '../value.js';
import { refuseHeader } from './headers.js';
import type { MeaningContext } from './index.js';

export function checkListeners({ draft, value, report }: MeaningContext): void {
  for (const [index, listener] of draft.listeners.entries()) {
    if (listener === undefined) continue;
    const path: ConfigPath = ['listeners', index];
    checkTls(listener, path, report);
    if (listener.requestId !== false) {
      refuseHeader(listener.requestId.header, [...path, 'requestId', 'header'], 'value', report);
    }
    const { requestLine, headerBytes } = listener.limits;
    const written = valueAt(value, [...path, 'limits', 'requestLine']) !== undefined;
    if (written && requestLine > headerBytes) {
      report({
        code: 'ineffective_key',
        severity: 'warning',
        path: [...path, 'limits', 'requestLine'],
        message: `${formatSize(requestLine)} is more than headerBytes lets through, which is ${formatSize(headerBytes)} with the request line`,
      });
    }
  }
}

function checkTls(
  { protocol, tls, hsts, redirectToHttps }: ListenerSettings,
  path: ConfigPath,
  report: MeaningContext['report'],
): void {
  if (protocol === 'https' && tls === undefined) {
    report({
      code: 'missing_key',
      path,
      message: 'expected the key "tls" with the certificates of an https listener',
      at: 'key',
    });
  } else if (protocol !== 'https' && tls !== undefined) {
    report({
      code: 'conflicting_keys',
      path: [...path, 'tls'],
      message: `expected no tls on a listener of the protocol ${protocol}`,
      hint: 'write `protocol: https`',
    });
  }
  if (protocol === 'https' && redirectToHttps !== false) {
    report({
      code: 'conflicting_keys',
      path: [...path, 'redirectToHttps'],
      message: 'expected no redirect to https on an https listener',
    });
  }
  if (protocol !== 'https' && hsts !== '') {
    report({
      code: 'ineffective_key',
      severity: 'warning',
      path: [...path, 'hsts'],
      message: 'browsers ignore Strict-Transport-Security that comes without TLS (RFC 6797 8.1)',
    });
  }
  if (tls !== undefined) checkEarlyData(tls, [...path, 'tls'], report);
  if (tls !== undefined && tls.minVersion > tls.maxVersion) {
    report({
      code: 'conflicting_keys',
      path: [...path, 'tls', 'minVersion'],
      message: `expected a version up to maxVersion, which is ${tls.maxVersion}`,
    });
  }
}

/** Early data that a session opens on another node could be replayed there. */
function checkEarlyData(
  { earlyData, maxVersion, tickets }: NonNullable<ListenerSettings['tls']>,
  path: ConfigPath,
  report: MeaningContext['report'],
): void {
  if (!earlyData) return;
  if (maxVersion === 'TLSv1.2') {
    report({
      code: 'conflicting_keys',
      path: [...path, 'earlyData'],
      message: 'expected no early data with a maxVersion of TLSv1.2, which knows none',
    });
  }
  if (tickets !== false && tickets.keyFile !== undefined) {
    report({
      code: 'conflicting_keys',
      path: [...path, 'earlyData'],
      message: 'expected no early data with a tickets.keyFile',
      hint: 'with keys that nodes share, what one of them has taken could be replayed on another',
    });
  }
}

/** An address is bound once. Port 0 is another port each time. */
export function checkBinds({ draft, report }: MeaningContext): void {
  const taken = new Map<string, string>();
  for (const [index, listener] of draft.listeners.entries()) {
    for (const [position, bind] of (listener?.bind ?? []).entries()) {
      if (bind.kind !== 'unix' && bind.port === 0) continue;
      const path: ConfigPath = ['listeners', index, 'bind', position];
      const address = formatAddress(bind);
      const owner = taken.get(address);
      if (owner === undefined) taken.set(address, `the listener ${quote(listener?.name ?? '')}`);
      else
        report({
          code: 'duplicate_bind',
          path,
          message: `expected an address of its own but ${owner} binds ${address}`,
        });
    }
  }
  if (draft.admin === undefined || draft.admin === false) return;
  const owner = taken.get(draft.admin.bind);
  if (owner === undefined) return;
  report({
    code: 'duplicate_bind',
    path: ['admin', 'bind'],
    message: `expected an address of its own but ${owner} binds ${draft.admin.bind}`,
  });
}
