/**
 * What an application may give instead of the global providers, as far as it is used here.
 *
 * @module
 */

/** A `TracerProvider` of `@opentelemetry/api`. */
export interface TracerSource {
  /** Gives a tracer. */
  getTracer(name: string, version?: string): object;
}

/** A `MeterProvider` of `@opentelemetry/api`. */
export interface MeterSource {
  /** Gives a meter. */
  getMeter(name: string, version?: string): object;
}

/** Attributes by name. */
export type AttributeValues = Readonly<Record<string, string | number | boolean>>;
