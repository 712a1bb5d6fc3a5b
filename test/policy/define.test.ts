// What definePolicy promises its author: types that follow from the declarations, and mistakes explained.
import { describe, expect, expectTypeOf, test } from 'vitest';
import {
  allow,
  attribute,
  body,
  type Consumer,
  clientAddress,
  consumer,
  cookie,
  definePolicy,
  edit,
  header,
  headers,
  method,
  param,
  response,
  type Verdict,
  z,
} from '../../src/policy/index.js';
import { checkOptions } from '../../src/policy/modules/index.js';

describe('types follow from the declarations', () => {
  test('inputs of a response reach respond', () => {
    definePolicy({
      setup: () => 7,
      responseInputs: {
        status: response.status(),
        type: response.header('content-type'),
        cookies: response.headers('set-cookie'),
        text: response.body({ limit: '64KiB', as: 'text' }),
        bytes: response.body({ limit: 1024, as: 'bytes', types: ['image/*'], longer: 'pass' }),
        asked: header('x-asked'),
        who: consumer(),
      },
      respond({ inputs, state }) {
        expectTypeOf(inputs).toEqualTypeOf<{
          readonly status: number;
          readonly type: string | undefined;
          readonly cookies: readonly string[];
          readonly text: string | undefined;
          readonly bytes: Uint8Array | undefined;
          readonly asked: string | undefined;
          readonly who: Consumer | undefined;
        }>();
        expectTypeOf(state).toEqualTypeOf<number>();
        return edit({ status: 404, remove: ['x-a'] });
      },
    });
  });

  test('inputs, options and state reach decide', () => {
    definePolicy({
      options: z.object({ realm: z.string().default('main'), skew: z.number().optional() }),
      inputs: {
        key: header('x-api-key'),
        forwarded: headers('x-forwarded-for'),
        session: cookie('session'),
        id: param('id'),
        address: clientAddress(),
        who: consumer(),
        plan: attribute('billing', 'plan'),
        text: body({ limit: '64KiB', as: 'text' }),
        json: body({ limit: 1024, as: 'json' }),
        bytes: body({ limit: '1MiB', as: 'bytes' }),
      },
      setup: async ({ options, signal }) => {
        expectTypeOf(options).toEqualTypeOf<{ realm: string; skew?: number | undefined }>();
        expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
        return { seen: new Set<string>() };
      },
      decide: ({ inputs, options, state, ctx }) => {
        expectTypeOf(inputs).toEqualTypeOf<{
          readonly key: string | undefined;
          readonly forwarded: readonly string[];
          readonly session: string | undefined;
          readonly id: string | undefined;
          readonly address: string;
          readonly who: Consumer | undefined;
          readonly plan: string | number | boolean | undefined;
          readonly text: string;
          readonly json: unknown;
          readonly bytes: Uint8Array;
        }>();
        expectTypeOf(options.realm).toEqualTypeOf<string>();
        expectTypeOf(state).toEqualTypeOf<{ seen: Set<string> }>();
        expectTypeOf(ctx.now()).toEqualTypeOf<number>();
        return allow();
      },
    });
  });

  test('inputs may follow from options', () => {
    definePolicy({
      options: z.object({ header: z.string() }),
      inputs: (options) => {
        expectTypeOf(options).toEqualTypeOf<{ header: string }>();
        return { key: header(options.header), method: method() };
      },
      decide({ inputs, state }) {
        expectTypeOf(inputs).toEqualTypeOf<{
          readonly key: string | undefined;
          readonly method: string;
        }>();
        expectTypeOf(state).toEqualTypeOf<undefined>();
        return allow();
      },
    });
  });

  test('what is not declared is no input, and what is no verdict is refused', () => {
    definePolicy({
      inputs: { key: header('x-api-key') },
      // @ts-expect-error: `path` is not declared.
      decide: ({ inputs }) => allow({ attributes: { path: inputs.path } }),
    });
    // @ts-expect-error: a verdict is made by allow, deny, respond, redirect or routeTo.
    definePolicy({ decide: () => true });
    expectTypeOf(allow()).toEqualTypeOf<Verdict>();
  });
});

describe('declarations are plain data', () => {
  test('with their key, lower-case header names and bytes', () => {
    const policy = definePolicy({
      inputs: {
        key: header('X-API-Key'),
        plan: attribute('billing', 'plan'),
        text: body({ limit: '64KiB', as: 'text' }),
      },
      decide: () => allow(),
    });
    expect(policy.inputs({})).toEqual([
      { key: 'key', kind: 'header', name: 'x-api-key' },
      { key: 'plan', kind: 'attribute', policy: 'billing', name: 'plan' },
      { key: 'text', kind: 'body', limit: 65_536, as: 'text', longer: 'fail' },
    ]);
    expect(structuredClone(policy.inputs({}))).toEqual(policy.inputs({}));
  });

  test.each([
    [() => header('x api'), 'expected the name of a header but received "x api"'],
    [() => cookie('a;b'), 'expected the name of a cookie but received "a;b"'],
    [() => param(''), 'expected the name of a path parameter but received ""'],
    [
      () => body({ limit: '64 kilo', as: 'text' }),
      'expected a size such as 64KiB for the limit of a body but received "64 kilo"',
    ],
    [
      () => body({ limit: '1KiB', as: 'text', longer: 'cut' as never }),
      'expected fail or pass for longer bodies but received "cut"',
    ],
    [
      () => response.body({ limit: '1KiB', as: 'text', types: ['text'] }),
      'expected a media type such as application/json or text/* but received "text"',
    ],
    [
      () => response.body({ limit: '1KiB', as: 'text', types: [] }),
      'expected 1 to 32 media types for a body but received []',
    ],
    [
      () => response.body({ limit: '1KiB', as: 'text', longer: 'cut' as 'pass' }),
      'expected fail or pass for longer bodies but received "cut"',
    ],
    [() => response.header('a b'), 'expected the name of a header but received "a b"'],
  ])('%s throws', (declare, message) => {
    expect(declare).toThrow(new TypeError(message));
  });
});

describe('authors without a type checker are told', () => {
  const define = (definition: unknown) => () => definePolicy(definition as never);
  test.each([
    [undefined, 'definePolicy expected an object with decide but received nothing'],
    [{}, 'definePolicy expected a function as decide, handle or respond but received none'],
    [{ decide: 1 }, 'definePolicy expected a function as decide but received 1'],
    [{ respond: {} }, 'definePolicy expected a function as respond but received an object'],
    [
      { decide() {}, responseInputs: {} },
      'definePolicy received responseInputs, but no respond that reads them',
    ],
    [
      { decide() {}, inputs: { status: response.status() } },
      'expected inputs.status to be of the request, but it is of the response (write it under responseInputs)',
    ],
    [
      { respond() {}, responseInputs: { text: body({ limit: 1, as: 'text' }) } },
      'responseInputs.text cannot be the body of the request (response.body(…) is that of the response)',
    ],
    [
      { respond() {}, responseInputs: { plan: attribute('billing', 'plan') } },
      'responseInputs.plan cannot be an attribute: attributes are for policies that decide',
    ],
    [
      { respond() {}, responseInputs: { status: response.status } },
      'expected responseInputs.status to be made by response.status() or their like but received a function: call it, status()',
    ],
    [{ decide() {}, input: {} }, 'definePolicy knows no key "input" (did you mean inputs?)'],
    [
      { decide() {}, options: { a: 1 } },
      'definePolicy expected z.object({ … }) of zod 4 as options but received an object',
    ],
    [
      { decide() {}, inputs: { path: method } },
      'expected inputs.path to be made by header(…), path() or their like but received a function: call it, method()',
    ],
    [
      { decide() {}, inputs: { key: 'x-api-key' } },
      'expected inputs.key to be made by header(…), path() or their like but received "x-api-key"',
    ],
  ])('%o', (definition, message) => {
    expect(define(definition)).toThrow(new TypeError(message));
  });
});

describe('options', () => {
  const policy = definePolicy({
    options: z.object({
      header: z.string(),
      algorithm: z.enum(['HS256', 'RS256']).default('RS256'),
      skew: z.number().min(0).max(60).default(5),
      keys: z.array(z.object({ id: z.string() })).default([]),
      from: z.union([z.string().regex(/^a/), z.array(z.string())]).optional(),
      url: z.url().optional(),
      even: z
        .number()
        .refine((value) => value % 2 === 0, 'expected an even number')
        .optional(),
    }),
    decide: () => allow(),
  });

  test('are parsed, with their defaults', async () => {
    expect(await checkOptions(policy, { header: 'x' })).toEqual({
      ok: true,
      options: { header: 'x', algorithm: 'RS256', skew: 5, keys: [] },
    });
  });

  test.each([
    [{ header: 5 }, ['header'], 'wrong_value', 'expected a string'],
    [undefined, ['header'], 'missing_key', 'the key "header" is missing: expected a string'],
    [{ header: 'x', algorithm: 'none' }, ['algorithm'], 'wrong_value', 'expected HS256 or RS256'],
    [{ header: 'x', skew: 61 }, ['skew'], 'wrong_value', 'expected at most 60'],
    [{ header: 'x', keys: {} }, ['keys'], 'wrong_value', 'expected a list'],
    [
      { header: 'x', keys: [{ id: 'a' }, { id: 7 }] },
      ['keys', 1, 'id'],
      'wrong_value',
      'expected a string',
    ],
    ['x', [], 'wrong_value', 'expected a map'],
    [{ header: 'x', from: 5 }, ['from'], 'wrong_value', 'expected a string or a list'],
    [{ header: 'x', from: 'b' }, ['from'], 'wrong_value', 'expected a text that matches /^a/'],
    [{ header: 'x', url: 'b' }, ['url'], 'wrong_value', 'expected a text in the form of url'],
    [{ header: 'x', even: 3 }, ['even'], 'wrong_value', 'expected an even number'],
  ])('%j: an issue at %j', async (value, path, code, message) => {
    expect(await checkOptions(policy, value)).toEqual({
      ok: false,
      issues: [{ code, path, message }],
    });
  });

  test('an unknown key is an error with the nearest right word', async () => {
    expect(await checkOptions(policy, { header: 'x', algoritm: 'RS256' })).toEqual({
      ok: false,
      issues: [
        {
          code: 'unknown_key',
          path: ['algoritm'],
          message:
            'unknown key "algoritm": expected header, algorithm, skew, keys, from, url or even',
          hint: 'did you mean "algorithm"?',
        },
      ],
    });
  });

  test('of a policy without a schema are none', async () => {
    const bare = definePolicy({ decide: () => allow() });
    expect(await checkOptions(bare, undefined)).toEqual({ ok: true, options: {} });
    expect(await checkOptions(bare, { a: 1 })).toEqual({
      ok: false,
      issues: [{ code: 'unknown_key', path: ['a'], message: 'unknown key "a"' }],
    });
  });

  test('messages never show what came, which may be a secret', async () => {
    const result = await checkOptions(policy, { header: ['hunter2'], algorithm: 'hunter2' });
    expect(JSON.stringify(result)).not.toContain('hunter2');
  });
});
