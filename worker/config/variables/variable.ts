import type { z } from 'zod';

/** One row of the table. */
export interface Variable {
  /** The part of the configuration that it belongs to; `temporal` is read by the Temporal SDK itself. */
  group: string;
  /** Where its value is found in the group; absent: somebody else reads it. */
  field?: string;
  /** One line for the table in the README and the CLI's help. */
  meaning: string;
  /** Used where the variable is unset or blank. */
  default?: string;
  /** What to set, where there is no default. */
  example?: string;
  /** Its value is never shown. */
  secret?: boolean;
  /** Required, unless one of these is set. */
  unless?: readonly string[];
  /** `NAME_FILE` may name a file that holds the value. */
  orFile?: boolean;
  /** What it may hold; absent: somebody else validates it. */
  kind?: z.ZodType<unknown, string | undefined>;
}
