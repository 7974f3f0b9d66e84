export { duration } from './kinds';
export { ENVIRONMENT, readConfig } from './read';
export { OWN_NAME } from './merchants';
export type { Config, ConfigGroup, EnvironmentVariable, MerchantConfig } from './read';
export { LONGEST_ORDER } from './variables';
