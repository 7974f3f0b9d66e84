import type { WorkflowExecutionDescription } from '@temporalio/client';
import { WorkflowNotFoundError } from '@temporalio/client';
import { temporal as proto } from '@temporalio/proto';
import { TASK_QUEUES } from '../../workflows/messages';
import { PAYMENT_STATUS } from '../../workflows/search-attributes';
import type { ActivityDependencies } from '../dependencies';
import { soon } from '../temporal-calls';

/** The state of the newest run of a payment or a refund, as the server reports it. */
type RunState =
  | { is: 'gone' }
  /** `shown`: its search attribute `PaymentStatus`; undefined if it has none. */
  | { is: 'running'; shown: string | undefined }
  | { is: 'stuck'; runId: string; because: string };

/** The most runs that one kind of follow-up ends: if all runs of a build are stuck, they must not all restart at once. */
const MOST_ENDED = 50;

/** A run that has failed this many workflow task attempts in a row does not recover by itself. */
const HOPELESS_ATTEMPTS = 10;

const { TaskQueueType, VersioningBehavior } = proto.api.enums.v1;

/** Looks at runs of payments and refunds for one activity, and ends stuck ones. It asks once for the polled builds. */
export class StuckRuns {
  #polled: Promise<Set<string>> | undefined;
  #ended = 0;

  constructor(private readonly deps: Pick<ActivityDependencies, 'temporal' | 'log'>) {}

  /**
   * The run's state. `stuck` only if the server says so: ten workflow task attempts failed in a row, or the run is
   * pinned to a build that no worker has polled for in the five minutes that the server remembers. Such a run is ended,
   * and is `gone`; it stays `stuck` only if enough have been ended for now. A run that is merely late is `running`.
   */
  async look(workflowId: string): Promise<RunState> {
    const { temporal, log } = this.deps;
    const run = await soon(temporal, () => this.#stateOf(workflowId));
    if (run.is !== 'stuck' || this.#ended >= MOST_ENDED) return run;
    this.#ended += 1;
    const { runId, because } = run;
    log.error(
      { workflowId, runId, because, code: 'RUN_STUCK', alert: true },
      'a run is stuck: it is ended, and the row starts another',
    );
    await soon(temporal, () => this.#end(workflowId, run));
    return { is: 'gone' };
  }

  async #stateOf(workflowId: string): Promise<RunState> {
    const run = await this.#describe(workflowId);
    if (run?.status.name !== 'RUNNING') return { is: 'gone' };
    const because = await this.#whyStuck(run);
    if (because !== undefined) return { is: 'stuck', runId: run.runId, because };
    return { is: 'running', shown: run.typedSearchAttributes.get(PAYMENT_STATUS) };
  }

  /** Ends this run and no other, so the next start creates a new one. */
  async #end(workflowId: string, { runId, because }: { runId: string; because: string }): Promise<void> {
    try {
      await this.deps.temporal.workflow
        .getHandle(workflowId, runId)
        .terminate(`${because}; its row starts another run`);
    } catch (error) {
      if (!(error instanceof WorkflowNotFoundError)) throw error;
    }
  }

  async #describe(workflowId: string): Promise<WorkflowExecutionDescription | undefined> {
    try {
      return await this.deps.temporal.workflow.getHandle(workflowId).describe();
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return undefined;
      throw error;
    }
  }

  async #whyStuck({ raw }: WorkflowExecutionDescription): Promise<string | undefined> {
    const attempts = raw.pendingWorkflowTask?.attempt ?? 0;
    if (attempts >= HOPELESS_ATTEMPTS) return `its workflow task failed ${attempts} times in a row`;
    const { behavior, deploymentVersion, versioningOverride } =
      raw.workflowExecutionInfo?.versioningInfo ?? {};
    // An operator's override routes it elsewhere.
    if (
      behavior !== VersioningBehavior.VERSIONING_BEHAVIOR_PINNED ||
      !deploymentVersion ||
      versioningOverride
    )
      return undefined;
    const build = nameOf(deploymentVersion);
    const polled = await (this.#polled ??= this.#askForBuilds());
    return polled.size === 0 || polled.has(build) ? undefined : `no worker of its build ${build} is left`;
  }

  async #askForBuilds(): Promise<Set<string>> {
    const { workflowService, options } = this.deps.temporal;
    const { pollers } = await workflowService.describeTaskQueue({
      namespace: options.namespace,
      taskQueue: { name: TASK_QUEUES.payments },
      taskQueueType: TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    });
    return new Set(
      pollers.flatMap(({ deploymentOptions }) => (deploymentOptions ? [nameOf(deploymentOptions)] : [])),
    );
  }
}

const nameOf = ({
  deploymentName,
  buildId,
}: {
  deploymentName?: string | null;
  buildId?: string | null;
}): string => [deploymentName, buildId].join(':');
