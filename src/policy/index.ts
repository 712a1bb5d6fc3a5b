// `tidegate/policy`: what the author of a policy imports.
export { z } from 'zod';
export type { Answer } from './answer.js';
export type { Consumer } from './consumer.js';
export type {
  Acquired,
  Charged,
  ChargedAll,
  Counted,
  CounterCharge,
  Counters,
  SharedCounters,
} from './counters.js';
export {
  type DecideContext,
  type Decision,
  definePolicy,
  type Policy,
  type PolicyDefinition,
  type PolicyLog,
  type SetupContext,
} from './define.js';
export {
  type Fetch,
  FetchError,
  type FetchErrorCode,
  type FetchInit,
  type FetchResponse,
} from './fetch.js';
export {
  type AttributeValue,
  attribute,
  body,
  clientAddress,
  consumer,
  cookie,
  type HeadInput,
  header,
  headers,
  host,
  type Input,
  type InputRecord,
  type InputValues,
  type Longer,
  method,
  param,
  path,
  query,
  routeName,
  scheme,
  type TlsFact,
  tls,
} from './inputs.js';
export type {
  Credentials,
  JwtCredential,
  KnownConsumer,
  VerificationKey,
} from './knownConsumer.js';
export type { Duration, LimitDraft as Limit, Period } from './limit.js';
export {
  type ResponseInput,
  type ResponseInputRecord,
  response,
} from './responseInputs.js';
export { type JsonFunction, type JsonTransform, transformJson } from './transformJson.js';
export {
  type AllowFields,
  allow,
  type ChargeDraft as Charge,
  type DenyFields,
  deny,
  edit,
  type HeadEdits,
  type RedirectFields,
  type RequestEdits,
  type RespondFields,
  type ResponseEdits,
  type ReviewDraft as Review,
  redirect,
  respond,
  routeTo,
  type VerdictDraft as Verdict,
} from './verdict.js';
