import type { Client, WorkflowExecutionDescription } from '@temporalio/client';
import { WorkflowNotFoundError } from '@temporalio/client';
import { TASK_QUEUES } from '../workflows/messages';
import { PAYMENT_STATUS } from '../workflows/search-attributes';

/** The state of the newest run of a payment or a refund, as the server reports it. */
export type RunState =
  | { is: 'gone' }
  /** `shown`: its search attribute `PaymentStatus`; undefined where it has none. */
  | { is: 'running'; shown: string | undefined }
  | { is: 'stuck'; runId: string; because: string };

/** A run that has failed so many workflow task attempts in a row does not recover by itself. */
const HOPELESS_ATTEMPTS = 10;

/** As the gRPC interface numbers the type of a queue that holds workflow tasks. */
const WORKFLOW_QUEUE = 1;

/** Its number for the versioning behaviour of a run that ends on the build that began it. */
const PINNED = 1;

/** Inspects runs of payments and refunds. It asks only once who polls for which build, so it must be short-lived. */
export class PaymentRuns {
  #polled: Promise<Set<string>> | undefined;

  constructor(private readonly temporal: Client) {}

  /**
   * `stuck`, only where the server says so: ten workflow task attempts failed in a row, or the run is pinned to a build that
   * no worker has polled for within the server's memory of five minutes. A run that is merely late is `running`.
   */
  async look(workflowId: string): Promise<RunState> {
    const run = await this.#describe(workflowId);
    if (run?.status.name !== 'RUNNING') return { is: 'gone' };
    const because = await this.#whyStuck(run);
    if (because !== undefined) return { is: 'stuck', runId: run.runId, because };
    return { is: 'running', shown: run.typedSearchAttributes.get(PAYMENT_STATUS) };
  }

  /** Ends this run and no other, so that the next start begins anew. */
  async end(workflowId: string, { runId, because }: { runId: string; because: string }): Promise<void> {
    try {
      await this.temporal.workflow
        .getHandle(workflowId, runId)
        .terminate(`${because}; its row starts another run`);
    } catch (error) {
      if (!(error instanceof WorkflowNotFoundError)) throw error;
    }
  }

  async #describe(workflowId: string): Promise<WorkflowExecutionDescription | undefined> {
    try {
      return await this.temporal.workflow.getHandle(workflowId).describe();
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
    // An operator's override sends it elsewhere.
    if ((behavior as number) !== PINNED || !deploymentVersion || versioningOverride) return undefined;
    const build = nameOf(deploymentVersion);
    const polled = await this.#builds();
    return polled.size === 0 || polled.has(build) ? undefined : `no worker of its build ${build} is left`;
  }

  #builds(): Promise<Set<string>> {
    this.#polled ??= this.#askForBuilds();
    return this.#polled;
  }

  async #askForBuilds(): Promise<Set<string>> {
    const { workflowService, options } = this.temporal;
    const { pollers } = await workflowService.describeTaskQueue({
      namespace: options.namespace,
      taskQueue: { name: TASK_QUEUES.payments },
      // eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment -- the SDK does not export the enum
      taskQueueType: WORKFLOW_QUEUE,
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
}): string => `${deploymentName ?? ''}:${buildId ?? ''}`;
