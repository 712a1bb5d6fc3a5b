// Responses that a test makes up, and the inputs that a policy reads of them, as the gateway would.
import type { ResponseBodySpec, ResponseInputDeclaration } from '../responseInputs.js';
import { bytesOf, type FullRequest, readInput } from './request.js';

export interface MadeUpResponse {
  /** 200 by default. */
  readonly status?: number;
  /** Names in any case; an array is several lines. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  /** Anything but text and bytes is sent as JSON, with that media type unless there is another. */
  readonly body?: unknown;
}

/** A response with every default in its place. */
export interface FullResponse {
  readonly status: number;
  /** By lower-case name. */
  readonly headers: ReadonlyMap<string, readonly string[]>;
  readonly body: Uint8Array;
}

export function completeResponse({
  status = 200,
  headers = {},
  body,
}: MadeUpResponse): FullResponse {
  const lines = new Map<string, string[]>();
  for (const [name, value] of Object.entries(headers)) {
    const before = lines.get(name.toLowerCase()) ?? [];
    lines.set(name.toLowerCase(), before.concat(value));
  }
  const isJson = body !== undefined && typeof body !== 'string' && !(body instanceof Uint8Array);
  if (isJson && !lines.has('content-type')) lines.set('content-type', ['application/json']);
  return { status, headers: lines, body: bytesOf(body) };
}

export function readResponseInput(
  input: ResponseInputDeclaration,
  response: FullResponse,
  request: FullRequest,
): unknown {
  switch (input.kind) {
    case 'status':
      return response.status;
    case 'responseHeader':
      return response.headers.get(input.name)?.join(', ');
    case 'responseHeaders':
      return response.headers.get(input.name) ?? [];
    case 'responseBody':
      return bodyOf(input, response, request);
    case 'consumer': {
      // All that the core knows of one.
      const { consumer } = request.made;
      return consumer === undefined ? undefined : { id: consumer.id };
    }
    default:
      return readInput(input, request);
  }
}

function bodyOf(
  { as, limit, longer, types }: ResponseBodySpec,
  { status, headers, body }: FullResponse,
  { method }: FullRequest,
): unknown {
  const [type = ''] = headers.get('content-type') ?? [];
  const bodyless = method === 'HEAD' || status === 204 || status === 304 || body.length === 0;
  if (bodyless || !types.some((pattern) => isOfType(type, pattern))) return undefined;
  if (body.length > limit) {
    if (longer === 'pass') return undefined;
    throw new Error(
      `the body has ${body.length} bytes and the policy reads ${limit}: such a response does not reach it`,
    );
  }
  if (as === 'bytes') return body;
  const text = Buffer.from(body).toString();
  if (as === 'text') return text;
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Error('the body is not JSON: such a response does not reach the policy', { cause });
  }
}

/** As native/http/media_type.h has it. */
function isOfType(contentType: string, pattern: string): boolean {
  if (pattern === '*/*') return true;
  const [media = ''] = contentType.split(';');
  const [type, subtype = ''] = media.trim().toLowerCase().split('/', 2);
  const [wantedType, wanted = ''] = pattern.split('/', 2);
  if (type !== wantedType) return false;
  if (!wanted.startsWith('*')) return subtype === wanted;
  return subtype.length >= wanted.length && subtype.endsWith(wanted.slice(1));
}
