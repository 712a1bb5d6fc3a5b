// Names and passwords (HTTP Basic), and an end to guessing: an account and an address are locked for a while after too many wrong
// ones.
import { randomBytes, scrypt as scryptWithCallback, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { allow, clientAddress, definePolicy, deny, header, z } from 'tidegate/policy';

const scrypt = promisify<string, Buffer, number, Buffer>(scryptWithCallback);

const hashBytes = 32;
const challenge = { 'www-authenticate': 'Basic realm="example", charset="UTF-8"' };
const noSuchUser = { salt: randomBytes(16), hash: randomBytes(hashBytes) };

export default definePolicy({
  options: z.object({
    /** By name: salt and scrypt of the password, in hexadecimal digits. */
    users: z.record(z.string(), z.string().regex(/^[0-9a-f]{16,}:[0-9a-f]{64}$/)),
    /** Wrong ones in the time of `window`. */
    perAccount: z.number().default(5),
    perAddress: z.number().default(20),
    window: z.string().default('15m'),
  }),

  inputs: { authorization: header('authorization'), address: clientAddress() },

  setup({ options: { users, perAccount, perAddress, window } }) {
    const limit = (count: number) =>
      Object.freeze({ kind: 'sliding-window', count, window } as const);
    const secrets = Object.entries(users).map(([name, text]) => {
      const [salt, hash] = text.split(':').map((part) => Buffer.from(part, 'hex'));
      return [name, { salt: salt as Buffer, hash: hash as Buffer }] as const;
    });
    return {
      secrets: new Map(secrets),
      account: limit(perAccount),
      address: limit(perAddress),
    };
  },

  async decide({ inputs, state, ctx }) {
    const login = loginOf(inputs.authorization);
    if (login === undefined) {
      return deny({ status: 401, reason: 'name and password, please', headers: challenge });
    }
    // Counted before it is known to be wrong: of a thousand guesses at the same moment, no more are tried than may be wrong.
    const attempt = ctx.counters.chargeAll([
      { limit: state.account, key: `account ${login.name}` },
      { limit: state.address, key: `address ${inputs.address}` },
    ]);
    if (attempt.refused !== undefined) {
      const { retryAfter = 1000 } = attempt.refused;
      const seconds = Math.ceil(retryAfter / 1000);
      ctx.log.warn('locked', { name: login.name, address: inputs.address, seconds });
      const headers = { 'retry-after': `${seconds}` };
      return deny({ status: 429, reason: 'too many wrong passwords', headers });
    }
    const { salt, hash } = state.secrets.get(login.name) ?? noSuchUser;
    if (!timingSafeEqual(await scrypt(login.password, salt, hashBytes), hash)) {
      return deny({ status: 401, reason: 'this is not right', headers: challenge });
    }
    attempt.refund();
    return allow({ consumer: { id: login.name }, request: { remove: ['authorization'] } });
  },
});

function loginOf(authorization = ''): { name: string; password: string } | undefined {
  const [, encoded = ''] = /^basic ([\w+/]+=*)$/i.exec(authorization) ?? [];
  const [, name, password] = /^([^:]{1,64}):(.*)$/s.exec(`${Buffer.from(encoded, 'base64')}`) ?? [];
  return name === undefined || password === undefined ? undefined : { name, password };
}
