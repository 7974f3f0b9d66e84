/*
 * What a test file gets from its surroundings, by the folder it is in:
 *
 *   test/unit           nothing but Node
 *   test/replay         the SDK
 *   test/time-skipping  timeSkippingEnvironment(), workflowBundle()
 *   test/integration    freshDatabase(), temporalAddress(), namespaceFor(__filename), temporalCli(), workflowBundle()
 *   test/browser        the same, and openBrowser() if the machine has Chromium
 *   test/long           as test/integration; what takes minutes: `npm run test:long`
 *
 *   import { freshDatabase, namespaceFor, temporalAddress, waitFor } from '../support';
 *
 *   const namespace = namespaceFor(__filename);          // its own, exists already, search attributes registered
 *   let database: Database;
 *   beforeAll(async () => {
 *     database = openDatabase({ url: await freshDatabase() });   // all tables there; { empty: true }: none
 *   });
 *   afterAll(() => database.destroy());                  // a connection left open fails the file; it is dropped for you
 *
 *   await waitFor(async () => (await payment()).status === 'PAID', { what: 'the payment to be PAID' });
 *
 * `npx jest test/unit` starts no server; `TEST_LOG=DEBUG npx jest …` shows what the SDK logs.
 */
export { freshDatabase } from './database';
export { explain } from './explain';
export { namespaceFor } from './namespaces';
export { temporalAddress, temporalCli, timeSkippingEnvironment, workflowBundle } from './temporal';
export { waitFor } from '../../dev/wait-for';
export { openShop } from './shop';
export { startProcess } from './processes';
export type { Running } from './processes';
export { OwnTemporal } from './own-temporal';
export type { Shop, ShopOptions } from './shop';
export { Collector } from './collector';
export type { CollectedSpan } from './collector';
export { Hands, inActivity } from './hands';
export { expectLedgerRules } from './ledger-rules';
