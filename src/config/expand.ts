// `${NAME}` and `${NAME:-default}` in texts, after YAML was read: a value can never add structure.
import { accept, type Parsed, type Refused, refuse } from './parsed.js';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface Expanded {
  text: string;
  /** At least one variable was replaced. */
  expanded: boolean;
}

/** `unset`: the only thing wrong is a variable that is not set. */
export type Expansion = Parsed<Expanded> | (Refused & { unset: true });

const reference = /\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\})?/g;

/** `$${` stands for a literal `${`. A variable that is set but empty takes the default, as `:-` does in a shell. */
export function expandText(text: string, env: Environment): Expansion {
  let failure: Refused | (Refused & { unset: true }) | undefined;
  let expanded = false;
  const result = text.replaceAll(reference, (all, name: string | undefined, _, fallback) => {
    if (all === '$${') return '${';
    if (name === undefined) {
      failure ??= refuse('${NAME} or ${NAME:-default}', 'a literal ${ is written $${');
      return '';
    }
    expanded = true;
    const value = env[name];
    if (fallback === undefined && value === undefined) {
      failure ??= {
        ...refuse(
          `the environment variable ${name} to be set, or a default as in \${${name}:-default}`,
        ),
        unset: true,
      };
      return '';
    }
    return value === undefined || (value === '' && fallback !== undefined)
      ? String(fallback)
      : value;
  });
  return failure ?? accept({ text: result, expanded });
}
