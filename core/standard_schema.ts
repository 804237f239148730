/**
 * The interface that schema libraries share (Standard Schema 1.1, https://standardschema.dev), as far as it is used here: types alone, so that
 * no library is needed to use one.
 *
 * @module
 */

/** What is wrong with a value, in one place of it. */
export interface SchemaIssue {
  /** What is wrong. */
  readonly message: string;
  /** Where: names and indexes from the outside in, each as it is or as the `key` of an object. */
  readonly path?: ReadonlyArray<PropertyKey | { readonly key: PropertyKey }> | undefined;
}

/** What a validation found. */
export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: ReadonlyArray<SchemaIssue> };

/** Writes a schema down as JSON Schema; some libraries can. */
export interface SchemaWriter {
  /** The schema of what is validated. */
  input(options: { readonly target: string }): Record<string, unknown>;
}

/** A schema of any library that follows the standard: zod, valibot, ArkType and others. */
export interface StandardSchema<Input = unknown, Output = Input> {
  /** What the standard defines. */
  readonly "~standard": {
    /** The version of the standard. */
    readonly version: 1;
    /** The library. */
    readonly vendor: string;
    /** Validates, and may change, a value. */
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
    /** What goes in and comes out; for the compiler alone. */
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
    /** Writes it down. */
    readonly jsonSchema?: SchemaWriter | undefined;
  };
}

/** What a schema is given. */
export type SchemaInput<S extends StandardSchema> = NonNullable<S["~standard"]["types"]>["input"];

/** What a schema gives. */
export type SchemaOutput<S extends StandardSchema> = NonNullable<S["~standard"]["types"]>["output"];
