// Several edits of one request as one.
import type { RequestEdits } from '../policy/verdict.js';

/** What one of them sets stays, whatever another one removes: at most one of them edits the query, or the body. */
export function merged(edits: readonly RequestEdits[]): RequestEdits {
  const query = edits.find((each) => each.query !== undefined)?.query;
  const body = edits.find((each) => each.body !== undefined)?.body;
  return {
    set: Object.assign({}, ...edits.map(({ set }) => set)) as Record<string, string>,
    remove: edits.flatMap(({ remove = [] }) => remove),
    query,
    body,
  };
}
