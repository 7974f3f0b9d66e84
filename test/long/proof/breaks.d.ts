export const BREAKS: Readonly<Record<string, { rule: string }>>;
