# What npm, node-gyp and editors find. It only delegates: native/CMakeLists.txt is the one list of sources.
# The output is build/cmake/Release/atoll.node.
{
  "targets": [
    {
      "target_name": "atoll",
      "type": "none",
      "actions": [
        {
          "action_name": "cmake",
          "inputs": [],
          # Never made, so that the action runs every time: cmake knows what is out of date.
          "outputs": ["<(PRODUCT_DIR)/always"],
          "action": ["bash", "scripts/lib/build_addon.sh"]
        }
      ]
    }
  ]
}
