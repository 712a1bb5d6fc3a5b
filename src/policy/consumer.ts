// Who a request is from: what a policy tells the later ones, the log and the upstream.

export interface Consumer {
  /** Not empty, at most 256 bytes. */
  readonly id: string;
  readonly name?: string | undefined;
  readonly groups?: readonly string[] | undefined;
  readonly tags?: readonly string[] | undefined;
  /** Names which of its credentials the request has come with, and is no part of it. Not empty, at most 256 bytes. */
  readonly credential?: string | undefined;
}
