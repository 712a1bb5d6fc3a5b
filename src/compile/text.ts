// Templates in the form that the core reads.
import { type Template, type TemplatePart, templateVariables } from '../config/template.js';
import type { SnapshotText } from './snapshot.js';

export function compileText(template: Template | undefined): SnapshotText {
  return (template?.parts ?? []).map(compilePart);
}

function compilePart(part: TemplatePart): SnapshotText[number] {
  switch (part.kind) {
    case 'literal':
      return part.text;
    case 'variable':
      return { [templateVariables[part.name].core]: '' };
    case 'param':
    case 'header':
      return { [part.kind]: part.name };
  }
}
