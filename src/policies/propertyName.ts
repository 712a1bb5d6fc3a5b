// Texts under which a policy finds its inputs.

/** The same text, as V8 itself has it for names of properties: looking for another one, it first looks for that. */
export function propertyName(text: string): string {
  return Object.keys({ [text]: undefined })[0] as string;
}
