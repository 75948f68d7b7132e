import type { Command } from 'commander';
import type { Io } from '../io.ts';
import { renderAdfCommand, renderTerraformCommand } from './render-azure.ts';
import { renderAspCommand, renderEventHubsCommand } from './render-bus.ts';
import { renderFunctionCommand } from './render-function.ts';
import { renderSnowflakeCommand } from './render-snowflake.ts';
import { renderSparkCommand } from './render-spark.ts';

export function renderCommand(program: Command, io: Io): void {
  const render = program
    .command('render')
    .summary('write what other services need, as files to review')
    .description('Writes files to review. The same configuration and options give the same files; --diff shows what has changed since.');
  renderSnowflakeCommand(render, io);
  renderEventHubsCommand(render, io);
  renderAspCommand(render, io);
  renderTerraformCommand(render, io);
  renderAdfCommand(render, io);
  renderFunctionCommand(render, io);
  renderSparkCommand(render, io);
}
