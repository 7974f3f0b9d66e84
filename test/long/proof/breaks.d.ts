interface Edit {
  file: string;
  from: string;
  to: string;
}

export const BREAKS: Readonly<Record<string, { rule: string; edits: readonly Edit[] }>>;
