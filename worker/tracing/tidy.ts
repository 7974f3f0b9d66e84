import type { Attributes } from '@opentelemetry/api';
import type { ReadableSpan, SpanExporter, TimedEvent } from '@opentelemetry/sdk-trace-node';
import { ORDER_ID_ATTRIBUTE, OUT_TRADE_NO_ATTRIBUTE } from '../../activities/spans';
import { closeWorkflowId, orderWorkflowId, paymentWorkflowId } from '../../workflows/messages';
import type { Logger } from '../log';
import { redact } from '../log';

type ExportDone = Parameters<SpanExporter['export']>[1];

/** The attribute in which `@temporalio/interceptors-opentelemetry` puts the workflow's id. */
const WORKFLOW_ID = 'temporalWorkflowId';

/** The prefixes of workflow ids; the rest of the id is the value of the attribute. */
const IDS = [
  [paymentWorkflowId(''), OUT_TRADE_NO_ATTRIBUTE],
  [orderWorkflowId(''), ORDER_ID_ATTRIBUTE],
  [closeWorkflowId(''), ORDER_ID_ATTRIBUTE],
] as const;

/** Makes spans easy to find and safe to read, and logs one line when the collector fails. */
export class TidyExporter implements SpanExporter {
  #fails = false;

  constructor(
    private readonly exporter: SpanExporter,
    private readonly log: Logger,
  ) {}

  export(spans: ReadableSpan[], done: ExportDone): void {
    this.exporter.export(spans.map(tidy), (result) => {
      this.#tell(result.error);
      done(result);
    });
  }

  shutdown(): Promise<void> {
    return this.exporter.shutdown();
  }

  #tell(error: Error | undefined): void {
    const fails = error !== undefined;
    if (fails === this.#fails) return;
    this.#fails = fails;
    if (fails) this.log.warn({ code: 'TRACES_UNSENT', reason: error.message }, 'traces are not sent');
    else this.log.info('traces are sent again');
  }
}

/** The same span with attributes of the payment or the order, and with nothing that a log may not contain. */
function tidy(span: ReadableSpan): ReadableSpan {
  return Object.create(span, {
    attributes: { value: redact(withIds(attributesOf(span))) },
    events: { value: span.events.map(withoutStack) },
    status: { value: redact(span.status) },
  }) as ReadableSpan;
}

/**
 * The interceptors add to a workflow's spans all that the SDK knows about the run: memo, search attributes, the last
 * failure. Only what shows where the span belongs is kept, under the names that other spans use.
 */
function attributesOf({ attributes, instrumentationLibrary }: ReadableSpan): Attributes {
  if (instrumentationLibrary.name !== '@temporalio/interceptor-workflow') return attributes;
  const { workflowId, runId, workflowType, attempt, temporalUpdateId } = attributes;
  return {
    [WORKFLOW_ID]: workflowId,
    run_id: runId,
    workflowType,
    attempt,
    ...(temporalUpdateId !== undefined && { temporalUpdateId }),
  };
}

function withIds(attributes: Attributes): Attributes {
  const workflowId = attributes[WORKFLOW_ID];
  if (typeof workflowId !== 'string') return attributes;
  const known = IDS.find(([prefix]) => workflowId.startsWith(prefix));
  if (!known) return attributes;
  const [prefix, name] = known;
  return { [name]: workflowId.slice(prefix.length), ...attributes };
}

/** A stack is long, and the log has it anyway. */
function withoutStack(event: TimedEvent): TimedEvent {
  const { 'exception.stacktrace': _stack, ...attributes } = event.attributes ?? {};
  return { ...event, attributes: redact(attributes) };
}
