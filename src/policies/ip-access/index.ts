// `ip-access`: which client addresses a route lets in. The core carries it out by itself (native/routing/prefix_set.h); here are its options.
import { z } from 'zod';

export const name = 'ip-access';

/** In one policy; the core's kPrefixRules. */
export const maxPrefixes = 1_000_000;

const expected = (what: string) => ({ error: `expected ${what}` });

const networks = () =>
  z.array(
    z.string(expected('a network such as "10.0.0.0/8" or "2001:db8::/32"')),
    expected('a list of networks'),
  );

const file = () => z.string(expected('a path')).min(1, expected('a path'));

const shape = {
  allow: networks()
    .optional()
    .describe(
      'Networks (`10.0.0.0/8`, `2001:db8::/32`) or single addresses that may pass. With it or `allowFile`, even an empty one, nobody else may.',
    ),
  allowFile: file()
    .optional()
    .describe(
      'The same from a text file, one a line, `#` begins a comment. From the folder of the configuration.',
    ),
  deny: networks().optional().describe('Networks or single addresses that are refused.'),
  denyFile: file().optional().describe('The same from a text file.'),
  status: z
    .int(expected('a whole number from 400 to 599'))
    .min(400, expected('a whole number from 400 to 599'))
    .max(599, expected('a whole number from 400 to 599'))
    .default(403)
    .describe('Of the answer, 400 to 599.'),
  reason: z
    .string(expected('a text'))
    .max(200, expected('a text of at most 200 characters'))
    .regex(/^[^\0-\x1f\x7f]*$/, expected('a text without control characters'))
    .optional()
    .describe("What the answer says, in place of the gateway's own sentence."),
};

export const options = z.strictObject(shape).superRefine((given, context) => {
  const { allow, allowFile, deny, denyFile } = given;
  if ([allow, allowFile, deny, denyFile].some((list) => list !== undefined)) return;
  context.addIssue({
    code: 'custom',
    message: 'expected "allow", "allowFile", "deny" or "denyFile"',
  });
});

export type Options = z.output<typeof options>;
