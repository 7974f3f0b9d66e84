import type { Circus } from '@jest/types';
import { TestEnvironment } from 'jest-environment-node';
import { duties } from './at-end';

/** Node, and whatever a fixture wants done when even the file's last afterAll has ended; a failure there fails the file. */
export default class EnvironmentWithEnd extends TestEnvironment {
  readonly handleTestEvent = async (event: Circus.AsyncEvent): Promise<void> => {
    if (event.name !== 'run_finish') return;
    for (const duty of duties(this.global).toReversed()) await duty();
  };
}
