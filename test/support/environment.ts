import type { EnvironmentContext, JestEnvironmentConfig } from '@jest/environment';
import type { Circus } from '@jest/types';
import { TestEnvironment } from 'jest-environment-node';
import { duties } from './at-end';

/** Node, and whatever a fixture wants done when even the file's last afterAll has ended; a failure there fails the file. */
export default class EnvironmentWithEnd extends TestEnvironment {
  constructor(config: JestEnvironmentConfig, context: EnvironmentContext) {
    super(config, context);
    // Where jest counts; here from the start, so that the bundles' makers see that it measures.
    if (config.globalConfig.collectCoverage) this.global.__coverage__ = {};
  }

  readonly handleTestEvent = async (event: Circus.AsyncEvent): Promise<void> => {
    if (event.name !== 'run_finish') return;
    for (const duty of duties(this.global).toReversed()) await duty();
  };
}
