import type { Fault } from './fault';
import { HAND_FAULTS } from './hands';
import { LINE_FAULTS } from './lines';
import { ODDITIES } from './oddities';
import { OVERLOAD } from './overload';
import { PROCESS_FAULTS } from './processes';
import { SHOP_FAULTS } from './shop';
import { WIRE_FAULTS } from './wire';

export type { Fault, Struck } from './fault';

/** Everything that can go wrong. */
export const FAULTS: readonly Fault[] = [
  ...PROCESS_FAULTS,
  ...LINE_FAULTS,
  ...WIRE_FAULTS,
  ...HAND_FAULTS,
  ...SHOP_FAULTS,
  OVERLOAD,
  ...ODDITIES,
];
