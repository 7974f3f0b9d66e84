/** The daily bill: fetched and loaded, compared in SQL, repaired by the usual paths. */
export { createFetchActivities, createRepairActivities } from './fetching';
export { createBillActivities } from './comparing';
