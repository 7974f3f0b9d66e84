export { duration } from './kinds';
export { ENVIRONMENT, readConfig } from './read';
export type { Config, ConfigGroup, EnvironmentVariable } from './read';
export { LONGEST_ORDER } from './variables';
export type { LogFormat, LogLevel } from './variables';
