# ==== versions.tf
# Written by `sluice render terraform` for the pipeline shop.

terraform {
  required_version = ">= 1.6"

  required_providers {
    snowflake = { source = "snowflakedb/snowflake", version = "~> 2.11" }
  }
}

# ==== variables.tf
variable "warehouse_size" {
  type        = string
  description = "Size of the warehouse; up to 20 million events a day XSMALL is enough."
  default     = "XSMALL"
}

# ==== snowflake.tf
# What an administrator makes. Schemas, tables, stages and tasks are not here: sluice makes its own when it starts, and
# `sluice render snowflake` writes those that Snowflake runs by itself.

resource "snowflake_account_role" "loader" {
  name    = "SLUICE_LOADER"
  comment = "sluice: loads and merges"
}

resource "snowflake_account_role" "reader" {
  name    = "SLUICE_READER"
  comment = "sluice: reads silver, gold and the health of the pipeline"
}

resource "snowflake_grant_account_role" "loader" {
  role_name        = snowflake_account_role.loader.name
  parent_role_name = "SYSADMIN"
}

resource "snowflake_warehouse" "sluice" {
  name                         = "SLUICE_WH"
  warehouse_size               = var.warehouse_size
  auto_suspend                 = 60
  auto_resume                  = "true"
  initially_suspended          = true
  statement_timeout_in_seconds = 3600
  comment                      = "sluice"
}

resource "snowflake_database" "sluice" {
  name = "ANALYTICS"

  lifecycle {
    prevent_destroy = true
  }
}

resource "snowflake_grant_privileges_to_account_role" "loader_warehouse" {
  account_role_name = snowflake_account_role.loader.name
  privileges        = ["USAGE", "OPERATE"]

  on_account_object {
    object_type = "WAREHOUSE"
    object_name = snowflake_warehouse.sluice.name
  }
}

resource "snowflake_grant_privileges_to_account_role" "reader_warehouse" {
  account_role_name = snowflake_account_role.reader.name
  privileges        = ["USAGE"]

  on_account_object {
    object_type = "WAREHOUSE"
    object_name = snowflake_warehouse.sluice.name
  }
}

resource "snowflake_grant_privileges_to_account_role" "loader_database" {
  account_role_name = snowflake_account_role.loader.name
  privileges        = ["USAGE", "CREATE SCHEMA"]

  on_account_object {
    object_type = "DATABASE"
    object_name = snowflake_database.sluice.name
  }
}

resource "snowflake_grant_privileges_to_account_role" "reader_database" {
  account_role_name = snowflake_account_role.reader.name
  privileges        = ["USAGE"]

  on_account_object {
    object_type = "DATABASE"
    object_name = snowflake_database.sluice.name
  }
}
