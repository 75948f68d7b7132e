# ==== versions.tf
# Written by `sluice render terraform` for the pipeline shop.

terraform {
  required_version = ">= 1.6"

  required_providers {
    azurerm   = { source = "hashicorp/azurerm", version = "~> 4.55" }
    snowflake = { source = "snowflakedb/snowflake", version = "~> 2.11" }
  }
}

provider "azurerm" {
  storage_use_azuread = true

  features {
  }
}

# ==== variables.tf
variable "resource_group" {
  type        = string
  description = "Resource group; it must exist."
}

variable "location" {
  type        = string
  description = "Region, such as westeurope."
}

variable "replication" {
  type        = string
  description = "Replication of the storage account."
  default     = "ZRS"
}

variable "throughput_units" {
  type        = number
  description = "Throughput units of the namespace: 1 MB/s in each."
  default     = 1
}

variable "retention_hours" {
  type        = number
  description = "How long messages are kept: longer than consumers may ever be away."
  default     = 168
}

variable "tenant" {
  type        = string
  description = "Entra tenant of the storage account."
}

variable "warehouse_size" {
  type        = string
  description = "Size of the warehouse; up to 20 million events a day XSMALL is enough."
  default     = "XSMALL"
}

variable "public_key" {
  type        = string
  description = "Public half of the key pair, one line, without its first and last line."
}

# ==== identity.tf
# What sluice runs as: a pod, a container app or a machine takes this identity.

resource "azurerm_user_assigned_identity" "sluice" {
  name                = "sluice-shop"
  resource_group_name = var.resource_group
  location            = var.location
}

# ==== lake.tf
# The lake. docs/azure.md says why each of these is set.

resource "azurerm_storage_account" "lake" {
  name                            = "acmelake"
  resource_group_name             = var.resource_group
  location                        = var.location
  account_tier                    = "Standard"
  account_kind                    = "StorageV2"
  account_replication_type        = var.replication
  is_hns_enabled                  = true
  min_tls_version                 = "TLS1_2"
  https_traffic_only_enabled      = true
  allow_nested_items_to_be_public = false
  shared_access_key_enabled       = false
  tags                            = { application = "sluice", pipeline = "shop" }
}

resource "azurerm_storage_container" "lake" {
  name                  = "lake"
  storage_account_id    = azurerm_storage_account.lake.id
  container_access_type = "private"
}

resource "azurerm_role_assignment" "lake" {
  scope                = azurerm_storage_container.lake.id
  role_definition_name = "Storage Blob Data Contributor"
  principal_id         = azurerm_user_assigned_identity.sluice.principal_id
  principal_type       = "ServicePrincipal"
}

# ==== eventhubs.tf
# The bus: one hub for this pipeline alone.

resource "azurerm_eventhub_namespace" "sluice" {
  name                         = "acme"
  resource_group_name          = var.resource_group
  location                     = var.location
  sku                          = "Standard"
  capacity                     = var.throughput_units
  auto_inflate_enabled         = true
  maximum_throughput_units     = min(40, var.throughput_units * 2)
  minimum_tls_version          = "1.2"
  local_authentication_enabled = true
}

resource "azurerm_eventhub" "sluice" {
  name            = "shop"
  namespace_id    = azurerm_eventhub_namespace.sluice.id
  partition_count = 8

  retention_description {
    cleanup_policy          = "Delete"
    retention_time_in_hours = var.retention_hours
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "azurerm_eventhub_consumer_group" "sluice" {
  name                = "sluice"
  namespace_name      = azurerm_eventhub_namespace.sluice.name
  eventhub_name       = azurerm_eventhub.sluice.name
  resource_group_name = var.resource_group
}

resource "azurerm_eventhub_authorization_rule" "produce" {
  name                = "sluice-produce"
  namespace_name      = azurerm_eventhub_namespace.sluice.name
  eventhub_name       = azurerm_eventhub.sluice.name
  resource_group_name = var.resource_group
  listen              = false
  send                = true
  manage              = false
}

resource "azurerm_eventhub_authorization_rule" "consume" {
  name                = "sluice-consume"
  namespace_name      = azurerm_eventhub_namespace.sluice.name
  eventhub_name       = azurerm_eventhub.sluice.name
  resource_group_name = var.resource_group
  listen              = true
  send                = false
  manage              = false
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

resource "snowflake_service_user" "sluice" {
  name              = "SLUICE"
  default_role      = snowflake_account_role.loader.name
  default_warehouse = snowflake_warehouse.sluice.name
  rsa_public_key    = var.public_key
}

resource "snowflake_grant_account_role" "user" {
  role_name = snowflake_account_role.loader.name
  user_name = snowflake_service_user.sluice.name
}

resource "snowflake_storage_integration" "lake" {
  name                      = "SLUICE_LAKE"
  type                      = "EXTERNAL_STAGE"
  enabled                   = true
  storage_provider          = "AZURE"
  azure_tenant_id           = var.tenant
  storage_allowed_locations = ["azure://acmelake.blob.core.windows.net/lake/prod/"]
}

# ==== outputs.tf
output "client_id" {
  value = azurerm_user_assigned_identity.sluice.client_id
}

output "lake_url" {
  value = "abfss://lake@acmelake.dfs.core.windows.net/prod/"
}

output "bus_url" {
  value = "eventhubs://acme.servicebus.windows.net/shop"
}

output "snowflake_integration" {
  value = snowflake_storage_integration.lake.name
}
