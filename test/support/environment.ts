import type { EnvironmentContext, JestEnvironmentConfig } from '@jest/environment';
import type { Circus } from '@jest/types';
import { TestEnvironment } from 'jest-environment-node';
import { duties } from './at-end';

/** Node, plus whatever a fixture wants done after the file's last afterAll; a failure there fails the file. */
export default class EnvironmentWithEnd extends TestEnvironment {
  constructor(config: JestEnvironmentConfig, context: EnvironmentContext) {
    super(config, context);
    // jest counts here; it exists from the start, so that the code that makes the bundles sees that jest measures.
    if (config.globalConfig.collectCoverage) this.global.__coverage__ = {};
  }

  readonly handleTestEvent = async (event: Circus.AsyncEvent): Promise<void> => {
    if (event.name !== 'run_finish') return;
    for (const duty of duties(this.global).toReversed()) await duty();
  };
}
