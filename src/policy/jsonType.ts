// Which bodies are JSON, by what their messages say (RFC 8259 11, RFC 6839 3.1).

/** As inputs of a response name media types. */
export const jsonTypes = ['application/json', 'application/*+json'];

/** Whether a `content-type` is one of them. */
export function isJsonType(contentType: string | undefined): boolean {
  return (
    contentType !== undefined &&
    /^application\/(?:json|[\w!#$&^.+-]+\+json)[ \t]*(?:;|$)/i.test(contentType)
  );
}
