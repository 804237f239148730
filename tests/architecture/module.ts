/**
 * What a source file imports and mentions, read by TypeScript's own parser.
 *
 * @module
 */

import ts from "typescript";

/** An import, export-from or `import()` of a file. */
export interface Import {
  /** What it names; `undefined` where an `import()` computes it. */
  readonly specifier: string | undefined;
  /** Whether it is an `import()`, which loads only when it is reached. */
  readonly lazy: boolean;
}

/** What the rules need to know of a file. */
export interface Module {
  /** Its path, relative to the repository. */
  readonly path: string;
  /** What it imports, types included. */
  readonly imports: readonly Import[];
  /** Which of the runtimes' own globals it mentions. */
  readonly globals: readonly string[];
  /** What it holds that cannot be erased to get JavaScript. */
  readonly notErasable: readonly string[];
  /** Whether it holds anything but exports from elsewhere. */
  readonly hasCode: boolean;
}

const runtimeGlobals = new Set(["Deno", "Bun", "process"]);

/**
 * Reads a file.
 *
 * @param path Its path, relative to the repository.
 * @param text Its text.
 * @returns What is in it.
 */
export function readModule(path: string, text: string): Module {
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const imports: Import[] = [];
  const mentioned = new Set<string>();
  const declared = new Set<string>();
  const notErasable: string[] = [];
  const visit = (node: ts.Node): void => {
    const found = readImport(node);
    if (found) imports.push(found);
    const global = readGlobal(node);
    if (global !== undefined) mentioned.add(global);
    if (ts.isIdentifier(node) && declares(node)) declared.add(node.text);
    const what = readNotErasable(node);
    if (what !== undefined) notErasable.push(what);
    ts.forEachChild(node, visit);
  };
  visit(file);
  // A file may use such a name for something of its own. What it got from `globalThis` is marked by a dot.
  const globals = [...mentioned].filter((name) => !declared.has(name)).map((name) => name.replace(/^\./, ""));
  const hasCode = !file.statements.every((each) => ts.isExportDeclaration(each) && each.moduleSpecifier !== undefined);
  return { path, imports, globals: [...new Set(globals)], notErasable, hasCode };
}

function readImport(node: ts.Node): Import | undefined {
  if (ts.isImportDeclaration(node)) return { specifier: literal(node.moduleSpecifier), lazy: false };
  if (ts.isExportDeclaration(node) && node.moduleSpecifier) {
    return { specifier: literal(node.moduleSpecifier), lazy: false };
  }
  if (ts.isImportTypeNode(node)) {
    const argument = node.argument;
    return { specifier: ts.isLiteralTypeNode(argument) ? literal(argument.literal) : undefined, lazy: false };
  }
  if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
    return { specifier: literal(node.arguments[0]), lazy: true };
  }
  return undefined;
}

function literal(node: ts.Node | undefined): string | undefined {
  return node !== undefined && ts.isStringLiteralLike(node) ? node.text : undefined;
}

// `Deno`, `globalThis.Deno`, `(globalThis as X).Deno`, `globalThis["Deno"]`, `"Deno" in globalThis`.
function readGlobal(node: ts.Node): string | undefined {
  const own = (name: string | undefined) => name !== undefined && runtimeGlobals.has(name) ? `.${name}` : undefined;
  if (ts.isPropertyAccessExpression(node) && isGlobalThis(node.expression)) return own(node.name.text);
  if (ts.isElementAccessExpression(node) && isGlobalThis(node.expression)) return own(literal(node.argumentExpression));
  if (ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.InKeyword && isGlobalThis(node.right)) {
    return own(literal(node.left));
  }
  if (ts.isIdentifier(node) && runtimeGlobals.has(node.text) && !isMemberName(node)) return node.text;
  return undefined;
}

function isGlobalThis(node: ts.Expression): boolean {
  if (ts.isParenthesizedExpression(node) || ts.isAsExpression(node) || ts.isSatisfiesExpression(node)) {
    return isGlobalThis(node.expression);
  }
  return ts.isIdentifier(node) && node.text === "globalThis";
}

// The name of a property, a member or a key, which is no mention of the global.
function isMemberName(node: ts.Identifier): boolean {
  const parent = node.parent;
  if (ts.isPropertyAccessExpression(parent)) return parent.name === node;
  if (ts.isQualifiedName(parent)) return parent.right === node;
  if (ts.isBindingElement(parent)) return parent.propertyName === node;
  if (ts.isImportSpecifier(parent) || ts.isExportSpecifier(parent)) return parent.propertyName === node;
  return (ts.isPropertyAssignment(parent) || ts.isPropertySignature(parent) || ts.isPropertyDeclaration(parent) ||
    ts.isMethodSignature(parent) || ts.isMethodDeclaration(parent) || ts.isGetAccessor(parent) ||
    ts.isSetAccessor(parent)) && parent.name === node;
}

function declares(node: ts.Identifier): boolean {
  const parent = node.parent;
  const named = ts.isVariableDeclaration(parent) || ts.isParameter(parent) || ts.isBindingElement(parent) ||
    ts.isFunctionDeclaration(parent) || ts.isClassDeclaration(parent) || ts.isImportClause(parent) ||
    ts.isImportSpecifier(parent) || ts.isNamespaceImport(parent) || ts.isTypeAliasDeclaration(parent) ||
    ts.isInterfaceDeclaration(parent);
  return named && parent.name === node;
}

function readNotErasable(node: ts.Node): string | undefined {
  const ambient = (ts.canHaveModifiers(node) ? ts.getModifiers(node) ?? [] : [])
    .some((each) => each.kind === ts.SyntaxKind.DeclareKeyword);
  if (ts.isEnumDeclaration(node) && !ambient) return "enum";
  if (ts.isModuleDeclaration(node) && !ambient) return "namespace";
  if (ts.isParameter(node) && ts.isParameterPropertyDeclaration(node, node.parent)) return "parameter property";
  if (ts.isImportEqualsDeclaration(node)) return "import =";
  if (ts.isExportAssignment(node) && node.isExportEquals) return "export =";
  if (ts.isTypeAssertionExpression(node)) return "assertion in angle brackets";
  return undefined;
}
