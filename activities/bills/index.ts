/** The daily bill: fetched and loaded, compared in SQL, repaired by the usual paths. */
export { createBillActivities } from './comparing';
export { createFetchActivities } from './fetching';
export { createRepairActivities } from './repairing';
