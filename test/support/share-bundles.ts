import { setup } from './surroundings';

/** jest's globalSetup of the replay tier, which needs only a place for the workflow code. */
export default function shareBundles(): void {
  setup({});
}
