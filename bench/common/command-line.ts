// What the command lines of the benches have in common.

/** A flag that cannot be meant; its message is all there is to say. */
export class UsageError extends Error {}

export function whole(flag: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new UsageError(`expected ${least}..${most} for ${flag} but received '${text}'`);
}
