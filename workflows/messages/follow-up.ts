/** The follow-up: its kinds of work and its result. */

/** The kinds of due work that the follow-up does, each in its own activity. */
export const FOLLOW_UP_KINDS = [
  'undelivered',
  'unrecorded',
  'slowChecks',
  'unwatched',
  'unattended',
  'leftovers',
  'rechecks',
  'refunds',
] as const;

/** A kind of due work. */
export type FollowUpKind = (typeof FOLLOW_UP_KINDS)[number];

/** What one follow-up did of one kind. `left`: more was due than it had time for. */
export interface KindReport {
  done: number;
  failed: number;
  left: boolean;
}

/** The result of `followUp`. Null: the activity of this kind failed as a whole. */
export type FollowUpReport = Record<FollowUpKind, KindReport | null>;
