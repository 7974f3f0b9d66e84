import type { z } from 'zod';

/** One row of the table. */
export interface Variable {
  /** The part of the configuration to which it belongs; the Temporal SDK itself reads `temporal`. */
  group: string;
  /** The field of the group that holds its value; absent if something else reads the value. */
  field?: string;
  /** One line for docs/settings.md and the CLI's help. */
  meaning: string;
  /** Used if the variable is unset or blank. */
  default?: string;
  /** What to set if there is no default. */
  example?: string;
  /** Whether its value is never shown. */
  secret?: boolean;
  /** Required unless one of these is set. */
  unless?: readonly string[];
  /** Whether `NAME_FILE` may name a file that holds the value. */
  orFile?: boolean;
  /** What it may contain; absent if something else validates it. */
  kind?: z.ZodType<unknown, string | undefined>;
}
